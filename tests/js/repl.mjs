// repl.mjs [BROWSER]: runs expressions, in node or (given where the browser is) in a page of it.
//
// A line of JSON in, {"run": "expression"} or {"open": "url of a page"}; a line out, {"value": …} or
// {"error": "…"}. Promises are waited for. Ends, and the browser with it, when its input ends.
import { createInterface } from "node:readline";
import { readFileSync } from "node:fs";
import { WebSocket, chromium } from "./packages.mjs";

const peer = readFileSync(new URL("peer.js", import.meta.url), "utf8");
const [executablePath] = process.argv.slice(2);
let run, browser, page;

async function open(url) {
  await page?.close();
  page = await browser.newPage();
  await page.addInitScript(peer);
  await page.goto(url);
}

if (executablePath) {
  browser = await chromium.launch({ executablePath, args: ["--disable-gpu"] });
  await open("about:blank");
  run = (expression) => page.evaluate(expression);
} else {
  globalThis.WebSocket = WebSocket;
  (0, eval)(peer);
  run = (expression) => (0, eval)(expression);
}

for await (const line of createInterface({ input: process.stdin })) {
  const asked = JSON.parse(line);
  let answer;
  try {
    answer = { value: (await (asked.open ? open(asked.open) : run(asked.run))) ?? null };
  } catch (error) {
    answer = { error: String(error) };
  }
  console.log(JSON.stringify(answer));
}
await browser?.close();
process.exit(0);
