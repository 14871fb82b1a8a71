// Drives the page in Chromium, and watches that nothing goes wrong beside what is tested.

import { readFile } from "node:fs/promises";
import { chromium } from "playwright-core";

const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

export async function startBrowser() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: FLAGS,
    headless: true,
  });
}

export class Driver {
  faults = []; // Console errors, page errors, violations of the policy, requests elsewhere.
  allowed = null; // A pattern of console errors that a check brings about.

  static async open(browser, url, options = {}) {
    const driver = new Driver();
    driver.url = url;
    driver.context = await browser.newContext({
      viewport: { width: 1200, height: 800 },
      locale: "en-GB",
      colorScheme: "light",
      reducedMotion: "reduce",
      acceptDownloads: true,
      ...options,
    });
    await driver.context.addInitScript(() => {
      window.violations = [];
      document.addEventListener("securitypolicyviolation", (event) =>
        window.violations.push(`${event.violatedDirective}: ${event.blockedURI}`),
      );
    });
    driver.page = await driver.context.newPage();
    driver.page.setDefaultTimeout(10000);
    driver.#watch();
    await driver.page.goto(`${url}/`);
    await driver.ready();
    return driver;
  }

  #watch() {
    const { page, faults } = this;
    page.on("pageerror", (error) => faults.push(`page error: ${error.stack ?? error}`));
    page.on("console", (message) => {
      if (message.type() !== "error" && message.type() !== "warning") return;
      if (this.allowed?.test(message.text())) return;
      faults.push(`console: ${message.text()}`);
    });
    page.on("request", (request) => {
      if (!/^(data|blob):/.test(request.url()) && new URL(request.url()).origin !== this.url)
        faults.push(`a request to ${request.url()}`);
    });
  }

  async violations() {
    return this.page.evaluate(() => window.violations);
  }

  // The page has heard from the server. (Playwright's waitForFunction needs eval, which the page's
  // policy forbids; locators do not.)
  async ready() {
    await this.page.locator("#model-name", { hasText: /^(?!…$|tern$)./ }).waitFor();
  }

  async reload() {
    await this.page.reload();
    await this.ready();
  }

  get input() {
    return this.page.locator("#input");
  }

  get answers() {
    return this.page.locator("li.message.assistant");
  }

  // The answer that stands last has ended.
  async answered() {
    await this.page.locator("#messages > li:last-child.assistant:not(.streaming)").waitFor();
    await this.page.locator("#send").waitFor();
  }

  async say(text) {
    await this.input.fill(text);
    await this.input.press("Enter");
    await this.answered();
  }

  async set(settings) {
    await this.page.locator("#open-settings").click();
    const form = this.page.locator("#settings-form");
    for (const [name, value] of Object.entries(settings)) {
      const field = form.locator(`[name="${name}"]`);
      if (typeof value === "boolean") await field.setChecked(value);
      else if (["theme", "language"].includes(name)) await field.selectOption(value);
      else await field.fill(String(value));
    }
    await this.page.keyboard.press("Escape");
    await this.page.locator("#settings-dialog").waitFor({ state: "hidden" });
  }

  // What is stored, latest conversation first.
  async stored() {
    const texts = await this.page.evaluate(() =>
      Object.keys(localStorage)
        .filter((key) => key.startsWith("tern/chat/"))
        .map((key) => localStorage.getItem(key)),
    );
    return texts
      .flatMap((text) => {
        try {
          return [JSON.parse(text)];
        } catch {
          return [];
        }
      })
      .sort((a, b) => b.updated - a.updated);
  }

  // The messages that are shown of the conversation used last, as they are stored.
  async path() {
    const [conversation] = await this.stored();
    const byId = new Map(conversation.messages.map((message) => [message.id, message]));
    const way = [];
    for (let at = byId.get(conversation.leaf); at; at = byId.get(at.parent)) way.unshift(at);
    return way;
  }

  async fresh() {
    await this.page.keyboard.press("Alt+n");
    await this.page.locator("#messages > li").first().waitFor({ state: "detached" });
  }

  async download(press) {
    const [download] = await Promise.all([this.page.waitForEvent("download"), press()]);
    return { name: download.suggestedFilename(), text: await readFile(await download.path(), "utf8") };
  }

  async focusedId() {
    return this.page.evaluate(() => document.activeElement.id);
  }

  async close() {
    await this.context.close();
  }
}
