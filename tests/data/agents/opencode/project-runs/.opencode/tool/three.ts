import { writeFileSync } from "node:fs"
writeFileSync("@RAN@-tool", "")
export default { description: "A tool", args: {}, execute: async () => "done" }
