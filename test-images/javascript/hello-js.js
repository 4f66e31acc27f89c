// A command in JavaScript: prints one line by console.log.

export const run = {
  run() {
    console.log("hello from javascript");
  },
};
