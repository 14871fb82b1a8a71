// What the tests share: arguments, named checks that are printed, and plain requests.

import assert from "node:assert/strict";

// {url, flags}: node x_test.mjs URL [--name value]...
export function readArguments(usage, names = []) {
  const [url, ...rest] = process.argv.slice(2);
  const flags = {};
  for (let i = 0; i < rest.length; i += 2) {
    const name = rest[i].replace(/^--/, "");
    if (!names.includes(name) || rest[i + 1] === undefined) usageExit(usage);
    flags[name] = rest[i + 1];
  }
  if (!/^https?:\/\//.test(url ?? "")) usageExit(usage);
  return { url: url.replace(/\/$/, ""), flags };
}

function usageExit(usage) {
  console.error(`usage: ${usage}`);
  process.exit(2);
}

// Runs checks one after another; prints each with what failed in it. One failure does not hide the next.
export class Checks {
  constructor(name) {
    this.name = name;
    this.failed = [];
    this.count = 0;
    this.started = performance.now();
  }

  async check(what, run) {
    ++this.count;
    const started = performance.now();
    try {
      await within(run(), 60000);
      console.log(`ok      ${what} (${Math.round(performance.now() - started)} ms)`);
    } catch (error) {
      this.failed.push(what);
      console.log(
        `FAILED  ${what}\n        ${String(error.stack ?? error)
          .split("\n")
          .slice(0, 12)
          .join("\n        ")}`,
      );
    }
  }

  skip(what, why) {
    console.log(`skipped ${what}: ${why}`);
  }

  finish() {
    const seconds = ((performance.now() - this.started) / 1000).toFixed(1);
    console.log(
      `${this.name}: ${this.count - this.failed.length} of ${this.count} checks passed in ${seconds} s`,
    );
    process.exitCode = this.failed.length > 0 || this.count === 0 ? 1 : 0;
  }
}

let authorization = {};

// The API key of the requests below.
export function useKey(key) {
  if (key) authorization = { Authorization: `Bearer ${key}` };
}

// What hangs is a failure, not a test that never ends.
async function within(promise, ms) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done within ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

// A GET that must be answered 200.
export async function get(url) {
  const response = await fetch(url, { headers: authorization });
  assert.equal(response.status, 200, `GET ${url}`);
  return response;
}

export async function post(url, body) {
  const headers = { "Content-Type": "application/json", ...authorization };
  const response = await fetch(url, { method: "POST", headers, body: JSON.stringify(body) });
  return { status: response.status, json: await response.json() };
}

// Texts that are being written, by /metrics.
export async function running(url) {
  const text = await (await get(`${url}/metrics`)).text();
  const lines = text.split("\n").filter((line) => /^tern_requests_processing /.test(line));
  assert.ok(lines.length > 0, "/metrics has no gauge tern_requests_processing");
  return lines.reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
}

// Asks again until `wanted` holds, at most `ms`; for what no event tells.
export async function eventually(what, ms, wanted) {
  const until = performance.now() + ms;
  for (;;) {
    const found = await wanted();
    if (found) return found;
    assert.ok(performance.now() < until, `${what}: not within ${ms} ms`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
