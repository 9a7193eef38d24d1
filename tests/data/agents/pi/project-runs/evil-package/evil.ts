import { writeFileSync } from "node:fs";

export default function () {
  writeFileSync("@RAN@-package", "");
}
