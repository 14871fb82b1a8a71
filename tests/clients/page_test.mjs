// Drives the page of `tern serve` in Chromium. Usage: node page_test.mjs URL [--screenshots DIR]
// The browser sees the server through a proxy, so that an answer can be held, cut or replaced.

import assert from "node:assert/strict";
import { Checks, get, post, readArguments } from "./checks.mjs";
import { CASES, HOSTILE, SHAPES } from "./markdown_cases.mjs";
import { Driver, startBrowser } from "./page_driver.mjs";
import { takeScreenshots } from "./page_shots.mjs";
import { ScriptProxy } from "./script_proxy.mjs";

const { url, flags } = readArguments("node page_test.mjs URL [--screenshots DIR]", ["screenshots"]);
const EVIL = `<img src=x onerror="window.hacked=1"><script>window.hacked=2</script><svg onload="window.hacked=3"> [x](javascript:window.hacked=4)`;
const SHORT = { max_tokens: 12, temperature: 0 };

const checks = new Checks("page");
const proxy = await ScriptProxy.start(url);
const browser = await startBrowser();
const props = await (await get(`${url}/props`)).json();
let driver = await Driver.open(browser, proxy.url);

async function apiAnswer(messages) {
  const { status, json } = await post(`${url}/v1/chat/completions`, { messages, ...SHORT });
  assert.equal(status, 200, JSON.stringify(json));
  return json.choices[0].message.content;
}

async function basics() {
  await checks.check("the page names the model and says whether it converses", async () => {
    assert.equal(await driver.page.locator("#model-name").textContent(), props.model.id);
    assert.equal(await driver.page.locator("#notice").isVisible(), !props.chat);
    assert.equal(await driver.focusedId(), "input");
  });
  await checks.check("settings are kept and sent; what is out of bounds is not", async () => {
    await driver.set({ ...SHORT, top_p: 0.9 });
    await driver.page.locator("#open-settings").click();
    await driver.page.locator('[name="top_p"]').fill("7");
    assert.equal(await driver.page.locator('[name="top_p"]').getAttribute("aria-invalid"), "true");
    await driver.page.keyboard.press("Escape");
    await driver.reload();
    await driver.page.locator("#open-settings").click();
    assert.equal(await driver.page.locator('[name="max_tokens"]').inputValue(), "12");
    assert.equal(await driver.page.locator('[name="top_p"]').inputValue(), "0.9");
    await driver.page.locator("#reset-sampling").click();
    await driver.page.keyboard.press("Escape");
    await driver.set(SHORT);
  });
  await checks.check("a chat in English says what the interface says", async () => {
    await driver.say("Once upon a time");
    const [user, answer] = await driver.path();
    assert.equal(user.text, "Once upon a time");
    assert.equal(answer.text, await apiAnswer([{ role: "user", content: "Once upon a time" }]));
    const { max_tokens, temperature, stream, top_p } = proxy.bodies.at(-1);
    assert.deepEqual(
      { max_tokens, temperature, stream, top_p },
      { ...SHORT, stream: true, top_p: undefined },
    );
    assert.match(await driver.page.locator("#speed").textContent(), /\d tokens\/s/);
    assert.match(
      await driver.page.locator("#context-text").textContent(),
      new RegExp(`/ ${props.context.toLocaleString("en")}$`),
    );
    assert.match(await driver.page.locator("#announce").textContent(), /^Answer: /);
  });
  await checks.check("a chat in Japanese, by an input method whose Enter does not send", async () => {
    await driver.set({ language: "ja" });
    assert.equal(await driver.page.evaluate(() => document.documentElement.lang), "ja");
    assert.equal(await driver.page.locator("#send").getAttribute("aria-label"), "送信");
    await driver.fresh();
    await compose("白い鳥は海の上を");
    await driver.input.press("Enter");
    await driver.answered();
    const [user, answer] = await driver.path();
    assert.equal(user.text, "白い鳥は海の上を");
    assert.equal(answer.text, await apiAnswer([{ role: "user", content: user.text }]));
    assert.equal(answer.text.includes("\ufffd"), false);
    await driver.set({ language: "en" });
  });
}

// Types through a composition; Enter is pressed once while it goes on.
async function compose(text) {
  const session = await driver.context.newCDPSession(driver.page);
  const before = proxy.bodies.length;
  await driver.input.focus();
  await session.send("Input.imeSetComposition", { text: "しろい", selectionStart: 3, selectionEnd: 3 });
  await driver.page.evaluate(() => {
    document.getElementById("input").addEventListener(
      "keydown",
      (event) => {
        window.composed = event.isComposing || event.keyCode === 229;
      },
      { once: true },
    );
  });
  await session.send("Input.dispatchKeyEvent", {
    type: "keyDown",
    key: "Enter",
    code: "Enter",
    windowsVirtualKeyCode: 229,
  });
  await session.send("Input.dispatchKeyEvent", {
    type: "keyUp",
    key: "Enter",
    code: "Enter",
    windowsVirtualKeyCode: 229,
  });
  assert.equal(await driver.page.evaluate(() => window.composed), true, "the browser did not compose");
  await session.send("Input.imeSetComposition", { text: "", selectionStart: 0, selectionEnd: 0 });
  await session.send("Input.insertText", { text });
  assert.equal(await driver.input.inputValue(), text);
  assert.equal(proxy.bodies.length, before, "Enter within a composition sent the message");
  await session.detach();
}

async function branches() {
  await checks.check("Esc stops an answer, keeps what there is and closes the connection", async () => {
    await driver.fresh();
    const { left } = proxy.hold(5);
    await driver.input.fill("Once");
    await driver.input.press("Enter");
    await driver.page.locator("li.assistant.streaming [data-token]").first().waitFor();
    assert.equal(await driver.page.locator("#stop").isVisible(), true);
    await driver.page.keyboard.press("Escape");
    await left;
    await driver.answered();
    const [, answer] = await driver.path();
    assert.equal(answer.state, "stopped");
    assert.ok(answer.text.length > 0);
    assert.match(await driver.answers.last().textContent(), /stopped/);
  });
  await checks.check("another answer and an edited message stand beside the first", async () => {
    const first = (await driver.path())[1].text;
    await driver.answers.last().hover();
    await driver.page.locator('[data-action="regenerate"]').last().click();
    await driver.answered();
    assert.equal(await driver.page.locator(".branch-count").textContent(), "2 / 2");
    const second = (await driver.path())[1].text;
    assert.notEqual(second, first);
    await driver.page.getByRole("button", { name: "Previous version" }).click();
    assert.equal((await driver.path())[1].text, first);
    await driver.input.press("ArrowUp");
    const area = driver.page.getByRole("textbox", { name: "Edit the message" });
    await area.fill("Then the sea");
    await area.press("Enter");
    await driver.answered();
    const [user, answer] = await driver.path();
    assert.equal(user.text, "Then the sea");
    assert.equal(answer.text, await apiAnswer([{ role: "user", content: "Then the sea" }]));
    assert.equal((await driver.stored())[0].messages.length, 5);
  });
  await checks.check("a reload keeps the conversation, and it can be gone on with", async () => {
    const before = await driver.path();
    await driver.reload();
    await driver.page.locator(".conversation").first().click();
    assert.deepEqual(await driver.path(), before);
    assert.equal(await driver.page.locator("li.message.user .body").textContent(), "Then the sea");
    await driver.say("and");
    assert.deepEqual(
      proxy.bodies.at(-1).messages.map(({ role }) => role),
      ["user", "assistant", "user"],
    );
  });
  await checks.check("deleting asks, then removes the message and what follows", async () => {
    const remove = driver.page.locator("li.message.user").last().getByRole("button", { name: "Delete" });
    await driver.page.locator("li.message.user").last().hover();
    await remove.click();
    await driver.page.getByRole("button", { name: "Cancel" }).click();
    assert.equal((await driver.path()).length, 4);
    await driver.page.locator("li.message.user").last().hover();
    await remove.click();
    await driver.page.locator("#confirm-yes").click();
    await driver.page.locator("#messages > li").nth(2).waitFor({ state: "detached" });
    assert.equal((await driver.path()).length, 2);
  });
  await checks.check("a system prompt is sent first", async () => {
    await driver.fresh();
    await driver.page.locator("#system summary").click();
    await driver.page.locator("#system-text").fill("Be brief.");
    await driver.say("Once");
    assert.deepEqual(proxy.bodies.at(-1).messages[0], { role: "system", content: "Be brief." });
  });
}

async function safety() {
  await checks.check("markup in a message and in an answer stays text", async () => {
    await driver.fresh();
    proxy.say([EVIL, "\n\n```html\n", EVIL, "\n```\n", EVIL]);
    await driver.say(EVIL);
    const bodies = driver.page.locator(".body");
    assert.equal(await bodies.first().textContent(), EVIL);
    assert.ok((await bodies.last().textContent()).includes('<img src=x onerror="window.hacked=1"><script>'));
    assert.equal(await driver.page.locator(".body :is(img, script, iframe, a)").count(), 0);
    assert.equal(await driver.page.locator(".body svg:not(.icon)").count(), 0);
    assert.equal(await driver.page.evaluate(() => window.hacked), undefined);
    await driver.reload();
    await driver.page.locator(".conversation").first().click();
    assert.equal(await driver.page.evaluate(() => window.hacked), undefined);
  });
  await checks.check("Markdown becomes the nodes that it should", async () => {
    const found = await driver.page.evaluate(
      async ({ cases, shapes }) => {
        const { renderMarkdown } = await import("./markdown.js");
        const render = (source) => {
          const box = document.createElement("div");
          for (let i = 1; i < source.length; ++i) renderMarkdown(box, source.slice(0, i)); // As it is streamed.
          renderMarkdown(box, source);
          return box;
        };
        return {
          html: cases.map(([source]) => render(source).innerHTML),
          shapes: shapes.map(([source, wanted]) => {
            const box = render(source);
            return Object.fromEntries(
              Object.keys(wanted).map((selector) => [
                selector,
                [...box.querySelectorAll(selector)].map((node) => node.textContent),
              ]),
            );
          }),
        };
      },
      { cases: CASES, shapes: SHAPES },
    );
    CASES.forEach(([source, html], index) => assert.equal(found.html[index], html, source));
    SHAPES.forEach(([source, wanted], index) => assert.deepEqual(found.shapes[index], wanted, source));
  });
  await checks.check("hostile Markdown takes linear time", async () => {
    const slow = await driver.page.evaluate(async (pieces) => {
      const { parseBlocks, toLines } = await import("./markdown_blocks.js");
      const { appendInline } = await import("./markdown_inline.js");
      const time = (piece, length) => {
        const text = piece.repeat(Math.ceil(length / piece.length));
        const start = performance.now();
        parseBlocks(toLines(text));
        appendInline(document.createElement("p"), toLines(text), (part) => document.createTextNode(part));
        return performance.now() - start;
      };
      const found = [];
      for (const piece of pieces) {
        // The best of three: a busy machine is no slow algorithm. Eight times the text; a square is 64.
        const best = (length) => Math.min(...[1, 2, 3].map(() => time(piece, length)));
        const [small, large] = [best(10000), best(80000)];
        if (large > 150 && large > 24 * small) found.push([piece, small, large]);
      }
      return found;
    }, HOSTILE);
    assert.deepEqual(slow, []);
  });
  await checks.check("broken stored data does no harm and is left alone", async () => {
    const count = await driver.page.locator(".conversation").count();
    await driver.page.evaluate(() => {
      localStorage.setItem("tern/chat/broken", '{"format":1,"id":');
      localStorage.setItem("tern/chat/later", '{"format":99,"id":"later","messages":[]}');
      localStorage.setItem("tern/settings", "[1, 2");
    });
    await driver.reload();
    assert.equal(await driver.page.locator(".conversation").count(), count);
    assert.match(await driver.page.locator("#sidebar-note").textContent(), /^2 stored conversations/);
    assert.equal(
      await driver.page.evaluate(() => localStorage.getItem("tern/chat/later")),
      '{"format":99,"id":"later","messages":[]}',
    );
    await driver.page.evaluate(() => {
      localStorage.removeItem("tern/chat/broken");
      localStorage.removeItem("tern/chat/later");
    });
    await driver.reload();
    await driver.set(SHORT);
  });
  await checks.check("a full storage is said, and the chat goes on", async () => {
    await driver.page.evaluate(() => {
      Storage.prototype.setItem = () => {
        throw new DOMException("full", "QuotaExceededError");
      };
    });
    await driver.say("Once");
    assert.match(await driver.page.locator("#notice").textContent(), /storage is full/);
    assert.equal(await driver.answers.count(), 1);
    await driver.reload();
  });
}

async function errors() {
  await checks.check("a lost connection keeps what there is", async () => {
    const held = proxy.hold(5);
    driver.allowed = /ERR_INCOMPLETE_CHUNKED_ENCODING/;
    await driver.input.fill("Once");
    await driver.input.press("Enter");
    await driver.page.locator("li.assistant.streaming [data-token]").first().waitFor();
    held.cut();
    await driver.answered();
    const answer = driver.answers.last();
    assert.match(await answer.locator(".error").textContent(), /connection was lost/);
    assert.ok((await driver.path())[1].text.length > 0);
    assert.equal((await driver.path())[1].state, "lost");
    await answer.getByRole("button", { name: "Try again" }).click();
    await driver.answered();
    assert.equal(await driver.page.locator(".error").count(), 0);
  });
  for (const [status, sentence, words] of [
    [429, "queue: 256 requests are waiting", /too much to do/],
    [400, 'max_tokens: "ten" found', /refused the request/],
    [401, "the API key is wrong", /wants an API key/],
    [500, "out of memory", /server failed/],
  ]) {
    await checks.check(`an error ${status} is said in plain words with the server's sentence`, async () => {
      await driver.fresh();
      driver.allowed = new RegExp(`status of ${status}`);
      proxy.refuse(status, { error: { message: sentence, type: "x", param: null, code: null } });
      await driver.say("Once");
      assert.match(await driver.page.locator(".error-head").textContent(), words);
      assert.equal(await driver.page.locator(".error-sentence").textContent(), sentence);
    });
  }
  driver.allowed = null;
}

async function views() {
  await checks.check("the view of the model draws each layer's shares and says them", async () => {
    await driver.page.locator("#open-model").click();
    const dialog = driver.page.locator("#model-dialog");
    await dialog.waitFor();
    const rows = dialog.locator(".layers tbody tr");
    assert.equal(await rows.count(), props.model.ternary_layers?.length ?? 0);
    if (props.model.ternary_layers?.length > 0) {
      const shares = props.model.ternary_layers[0];
      const percent = new Intl.NumberFormat("en", {
        style: "percent",
        minimumFractionDigits: 1,
        maximumFractionDigits: 1,
      });
      assert.deepEqual(
        await rows.first().locator("td.figure").allTextContents(),
        ["-1", "0", "+1"].map((digit) => percent.format(shares[digit])),
      );
      assert.equal(await rows.first().locator("rect").count(), 3);
    }
    await driver.page.keyboard.press("Escape");
    await dialog.waitFor({ state: "hidden" });
    assert.equal(await driver.focusedId(), "open-model");
  });
  await checks.check(
    "a token under the pointer or with the focus shows its probability and alternatives",
    async () => {
      await driver.fresh();
      await driver.set({ colour: true });
      await driver.say("Once upon a time");
      const request = proxy.bodies.at(-1);
      assert.deepEqual([request.logprobs, request.top_logprobs], [true, 5]);
      const tokens = driver.answers.last().locator("[data-token]");
      assert.ok((await tokens.count()) > 3);
      assert.equal(
        (await tokens.allTextContents()).join("").replace(/\s/g, ""),
        (await driver.path())[1].text.replace(/\s/g, ""),
      );
      await tokens.nth(1).hover();
      const tip = driver.page.locator("#token-tip");
      assert.match(await tip.textContent(), /\d%/);
      assert.equal(await tip.locator("tr").count(), 5);
      await driver.page.mouse.move(5, 5);
      await tip.waitFor({ state: "hidden" });
      await driver.answers
        .last()
        .getByRole("button", { name: /Walk through/ })
        .press("Enter");
      await tip.waitFor();
      await driver.page.keyboard.press("ArrowRight");
      assert.equal(await driver.page.evaluate(() => document.activeElement.dataset.token), "1");
      assert.equal(
        await driver.page.evaluate(() => document.activeElement.getAttribute("aria-describedby")),
        "token-tip",
      );
      await driver.page.keyboard.press("Escape");
      await tip.waitFor({ state: "hidden" });
      await driver.set({ colour: false });
      assert.equal(await driver.page.locator(".coloured").count(), 0);
    },
  );
  await checks.check("conversations are renamed, exported and deleted", async () => {
    await driver.page.locator("li.current .icon-button").click();
    await driver.page.locator("#conversation-form input").fill("The sea");
    await driver.page.keyboard.press("Enter");
    assert.equal(await driver.page.locator("li.current .conversation-title").textContent(), "The sea");
    await driver.page.locator("li.current .icon-button").click();
    const json = await driver.download(() => driver.page.locator("#export-json").click());
    assert.equal(json.name, "The-sea.json");
    assert.deepEqual(
      JSON.parse(json.text).messages.map(({ text }) => text),
      (await driver.path()).map(({ text }) => text),
    );
    const markdown = await driver.download(() => driver.page.locator("#export-markdown").click());
    assert.ok(markdown.text.startsWith("# The sea\n\n## You\n\nOnce upon a time\n\n## Model\n\n"));
    const count = (await driver.stored()).length;
    await driver.page.locator("#delete-conversation").click();
    await driver.page.locator("#confirm-yes").click();
    await driver.page.locator("#messages > li").first().waitFor({ state: "detached" });
    assert.equal((await driver.stored()).length, count - 1);
  });
}

async function reach() {
  await checks.check("all of it works by the keyboard alone", async () => {
    await driver.reload();
    const { keyboard } = driver.page;
    const seen = [];
    for (let i = 0; i < 60 && seen.at(-1) !== "skip"; ++i) {
      await keyboard.press("Shift+Tab");
      seen.push(
        await driver.page.evaluate(
          () =>
            document.activeElement.id || document.activeElement.className || document.activeElement.tagName,
        ),
      );
    }
    for (const wanted of [
      "skip",
      "new-conversation",
      "conversation",
      "open-model",
      "open-shortcuts",
      "open-settings",
    ])
      assert.ok(seen.includes(wanted), `${wanted} is not reached: ${seen}`);
    await keyboard.press("Enter");
    assert.equal(await driver.focusedId(), "input");
    await keyboard.press("Tab");
    assert.equal(await driver.focusedId(), "send");
    await keyboard.press("Shift+Tab");
    await keyboard.type("Once");
    await keyboard.press("Shift+Enter");
    await keyboard.type("upon");
    assert.equal(await driver.input.inputValue(), "Once\nupon");
    await keyboard.press("Enter");
    await driver.answered();
    assert.equal((await driver.path())[0].text, "Once\nupon");
    for (const [keys, id] of [
      ["Alt+Comma", "settings-dialog"],
      ["Alt+m", "model-dialog"],
      ["Alt+Slash", "shortcuts-dialog"],
    ]) {
      await keyboard.press(keys);
      await driver.page.locator(`#${id}[open]`).waitFor();
      for (let i = 0; i < 6; ++i) await keyboard.press("Tab");
      assert.equal(
        await driver.page.evaluate(
          (id_) =>
            document.getElementById(id_).contains(document.activeElement) ||
            document.activeElement === document.body,
          id,
        ),
        true,
        `the focus left ${id}`,
      );
      await keyboard.press("Escape");
      await driver.page.locator(`#${id}`).waitFor({ state: "hidden" });
      assert.equal(await driver.focusedId(), "input");
    }
  });
  await checks.check("every control has a name", async () => {
    const nameless = await driver.page.evaluate(() =>
      [...document.querySelectorAll("button, input, select, textarea, meter, summary")]
        .filter(
          (node) => !(node.getAttribute("aria-label") || node.textContent.trim() || node.labels?.length > 0),
        )
        .map((node) => node.outerHTML.slice(0, 100)),
    );
    assert.deepEqual(nameless, []);
  });
  await checks.check("nothing is wider than a window of 320 pixels", async () => {
    const small = await Driver.open(browser, proxy.url, {
      viewport: { width: 320, height: 568 },
      locale: "ja-JP",
    });
    proxy.say([
      "# 見出し\n\n",
      "`" + "x".repeat(80) + "` ",
      "https://example.org/" + "y".repeat(90),
      "\n\n| a | b | c |\n|--|--|--|\n| ",
      "長".repeat(40),
      " | 2 | 3 |\n\n```\n",
      "z".repeat(200),
      "\n```",
    ]);
    await small.say("一".repeat(60));
    const wide = () =>
      small.page.evaluate(() =>
        Math.max(
          document.documentElement.scrollWidth,
          document.getElementById("main").scrollWidth,
          ...[...document.querySelectorAll("dialog[open] .dialog-body")].map((node) => node.scrollWidth),
        ),
      );
    assert.ok((await wide()) <= 320);
    for (const keys of ["Alt+Comma", "Alt+m", "Alt+Slash"]) {
      await small.page.keyboard.press(keys);
      assert.ok((await wide()) <= 320, keys);
      await small.page.keyboard.press("Escape");
    }
    await small.page.locator("#open-sidebar").click();
    await small.page.locator(".conversation").first().waitFor();
    await small.page.locator("#close-sidebar").click();
    assert.equal(await small.focusedId(), "open-sidebar");
    driver.faults.push(...small.faults);
    await small.close();
  });
  await checks.check("theme: the system's, or the one that is chosen", async () => {
    const paper = () => driver.page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const light = await paper();
    await driver.page.emulateMedia({ colorScheme: "dark" });
    const dark = await paper();
    assert.notEqual(dark, light);
    await driver.set({ theme: "light" });
    assert.equal(await paper(), light);
    await driver.set({ theme: "auto" });
    await driver.page.emulateMedia({ colorScheme: "light" });
  });
}

try {
  for (const part of [basics, branches, safety, errors, views, reach]) await part();
  if (flags.screenshots)
    await checks.check("screenshots", () => takeScreenshots(browser, proxy, flags.screenshots));
  await checks.check("no console error, page error, policy violation or foreign request", async () => {
    assert.deepEqual([...driver.faults, ...(await driver.violations())], []);
    assert.ok(proxy.requests.length > 20);
  });
} finally {
  await browser.close();
  await proxy.close();
}
checks.finish();
