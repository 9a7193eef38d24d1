import { Type } from "typebox";

export default function (pi) {
  pi.registerTool({
    name: "canary_tool",
    label: "Canary",
    description: "Says whether the canary sings",
    parameters: Type.Object({}),
    async execute() {
      return { content: [{ type: "text", text: "it sings" }], details: {} };
    },
  });
}
