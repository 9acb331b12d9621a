// The npm packages of package.json, which `./dev deps test` puts under build/js.
import { createRequire } from "node:module";

const require = createRequire(new URL("../../build/js/", import.meta.url));

export const { WebSocket } = require("ws");
export const { chromium } = require("playwright-core");
