// Pictures of the page for docs/: what the model really writes, light and dark, English and Japanese.

import { join } from "node:path";
import { Driver } from "./page_driver.mjs";

const LANGUAGES = [
  { name: "en", locale: "en-GB", prompt: "Once upon a time there was a small bird who" },
  { name: "ja", locale: "ja-JP", prompt: "白い鳥が海の上を" },
];
const WINDOWS = [
  { name: "wide", width: 1200, height: 760 },
  { name: "narrow", width: 360, height: 740 },
];

export async function takeScreenshots(browser, proxy, folder) {
  for (const { name: language, locale, prompt } of LANGUAGES) {
    for (const colorScheme of ["light", "dark"]) {
      for (const { name, ...viewport } of WINDOWS) {
        const driver = await Driver.open(browser, proxy.url, { viewport, locale, colorScheme });
        const shoot = (what) =>
          driver.page.screenshot({
            path: join(folder, `page-${what}-${language}-${colorScheme}-${name}.png`),
          });
        await driver.set({ max_tokens: 90, seed: 1 });
        await driver.say(prompt);
        await shoot("chat");
        if (name === "wide") {
          await driver.set({ colour: true });
          await driver.answers.last().locator("[data-token]").nth(6).hover();
          await shoot("tokens");
          await driver.page.locator("#open-model").click();
          await shoot("model");
        }
        await driver.close();
      }
    }
  }
}
