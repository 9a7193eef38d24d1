import { writeFileSync } from "node:fs"
writeFileSync("@RAN@-plugins", "")
export const Plugin = async () => ({})
