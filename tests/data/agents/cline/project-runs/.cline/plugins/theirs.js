import fs from "node:fs";
fs.writeFileSync("@RAN@-plugin", "");
export default { name: "theirs", manifest: { capabilities: ["tools"] } };
