// node build.mjs SOURCE WIT OUTPUT: a component of the world `guest`. The parts of the engine that only servers need stay out.

import { componentize } from "@bytecodealliance/componentize-js";
import { writeFile } from "node:fs/promises";

const [sourcePath, witPath, output] = process.argv.slice(2);
const { component } = await componentize({
  sourcePath,
  witPath,
  worldName: "guest",
  disableFeatures: ["http", "fetch-event"],
});
await writeFile(output, component);
