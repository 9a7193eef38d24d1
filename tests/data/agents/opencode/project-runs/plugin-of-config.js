import { writeFileSync } from "node:fs"
writeFileSync("@RAN@-config-plugin", "")
export const Plugin = async () => ({})
