// Waits until a server is ready. Usage: node ready.mjs PORT_FILE PID; prints the server's address.
// Ends with status 1 where the process is gone first, or after a minute.

import { readFile } from "node:fs/promises";

const [portFile, pid] = process.argv.slice(2);
const until = Date.now() + 60000;

function lives() {
  try {
    process.kill(Number(pid), 0);
    return true;
  } catch {
    return false;
  }
}

async function address() {
  const port = (await readFile(portFile, "utf8").catch(() => "")).trim();
  if (port === "") return null;
  const url = `http://127.0.0.1:${port}`;
  const health = await fetch(`${url}/health`).catch(() => null);
  return health?.status === 200 ? url : null;
}

let url = null;
while (!(url = await address())) {
  if (!lives() || Date.now() > until) {
    console.error(
      lives() ? "the server was not ready within a minute" : "the server ended before it was ready",
    );
    process.exit(1);
  }
  await new Promise((resolve) => setTimeout(resolve, 20));
}
console.log(url);
