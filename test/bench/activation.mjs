// npm run bench:activation: how long the extension takes to start, by the editor's own measure (Developer: Show Running Extensions). --rounds N.
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import * as d from '../workbench/drive.mjs';
import { packageVsix } from '../workbench/page.mjs';
import { installWorkbench } from '../workbench/workspace.mjs';

const { values: args } = parseArgs({ options: { rounds: { type: 'string', default: '7' } } });
const server = await d.launchServer({ dir: installWorkbench(), workspace: mkdtempSync(path.join(tmpdir(), 'lora-bench-')), vsix: [packageVsix()] });
const times = [];
try {
  for (let round = 0; round < Number(args.rounds); round++) {
    const { browser, page } = await d.openPage(server);
    await d.openView(page, 'LoRA'); // nothing in an empty folder asks for it before
    await d.runCommand(page, 'Developer: Show Running Extensions');
    const row = page.locator('.runtime-extensions-editor .extension', { hasText: 'LoRA Workbench' });
    const text = await row.innerText();
    const [, time] = /Activation: (\d+)\s*ms/.exec(text) ?? [];
    if (time === undefined) throw new Error(`The editor does not tell the time: ${text}`);
    times.push(Number(time));
    await browser.close();
  }
} finally {
  await server.stop();
}
times.sort((a, b) => a - b);
console.log(`activation: median ${times[times.length >> 1]} ms, from ${times[0]} to ${times.at(-1)} (${times.length} windows)`);
