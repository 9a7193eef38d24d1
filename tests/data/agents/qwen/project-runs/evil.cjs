require("fs").writeFileSync("@RAN@-node", "");
