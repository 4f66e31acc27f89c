// node build.mjs SOURCE WIT WORLD OUTPUT: a component of that world. The parts of the engine that serve by `fetch` events stay out.

import { componentize } from "@bytecodealliance/componentize-js";
import { writeFile } from "node:fs/promises";

const [sourcePath, witPath, worldName, output] = process.argv.slice(2);
const { component } = await componentize({
  sourcePath,
  witPath,
  worldName,
  disableFeatures: worldName === "server" ? ["fetch-event"] : ["http", "fetch-event"],
});
await writeFile(output, component);
