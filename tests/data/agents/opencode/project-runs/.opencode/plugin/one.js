import { writeFileSync } from "node:fs"
writeFileSync("@RAN@-plugin", "")
export const Plugin = async () => ({})
