// Runs Mocha in a real extension host, like @vscode/test-electron.
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { format } from 'node:util';
import { openPage } from './drive.mjs';
import { hostLog, launchServer, tempProfile } from './server.mjs';

/**
 * Runs compiled Mocha files (CommonJS or ESM) in the extension host, with the extension loaded from
 * its folder. Returns { code (0 or 1), passed, failed, pending,
 * tests: [{ title, state, ms, error }],
 * output (Mocha's report), workbench (every log and console line), hostLog }.
 */
export async function runExtensionTests({ dir, extensionDir, files, workspace, ...options }) {
  const { settings, env, ui = 'tdd', testTimeout = 600_000, timeout = 1_800_000 } = options;
  const profile = tempProfile();
  const report = path.join(profile, 'report.json');
  const runner = path.join(profile, 'runner.cjs');
  const module = path.join(import.meta.dirname, 'mochaRunner.cjs');
  const task = {
    mocha: createRequire(import.meta.url).resolve('mocha'),
    files: files.map((file) => path.resolve(file)),
    report,
    ui,
    testTimeout,
  };
  const call = `require(${JSON.stringify(module)}).run(${JSON.stringify(task)})`;
  fs.writeFileSync(runner, `exports.run = () => ${call};\n`);
  const server = await launchServer({ dir, workspace, profile, settings, env, smoke: true });
  try {
    const { code, workbench } = await runInWorkbench(server, { extensionDir, runner, timeout });
    const { tests, output } = fs.existsSync(report)
      ? JSON.parse(fs.readFileSync(report, 'utf8'))
      : { tests: [], output: '' };
    const count = (state) => tests.filter((test) => test.state === state).length;
    return {
      code,
      passed: count('passed'),
      failed: count('failed'),
      pending: count('pending'),
      tests,
      output,
      workbench,
      hostLog: hostLog(server),
    };
  } finally {
    await server.stop();
    fs.rmSync(profile, { recursive: true, force: true });
  }
}

/** Runs `runner` in the workbench, whose automation hooks report the log and the exit code. */
async function runInWorkbench(server, { extensionDir, runner, timeout }) {
  const workbench = [];
  const uri = (file) => `vscode-remote://${server.authority}${path.resolve(file)}`;
  let browser;
  let timer;
  try {
    const code = await new Promise((resolve, reject) => {
      timer = setTimeout(() => {
        const seen = `${workbench.join('\n')}\n${hostLog(server)}`;
        reject(new Error(`The tests did not finish within ${timeout} ms.\n${seen}`));
      }, timeout);
      openPage(server, {
        payload: [
          ['extensionDevelopmentPath', uri(extensionDir)],
          ['extensionTestsPath', uri(runner)],
        ],
        before: async (page) => {
          browser = page.context().browser();
          await page.exposeFunction('codeAutomationLog', (type, args) =>
            workbench.push(`[${type}] ${format(...args)}`),
          );
          await page.exposeFunction('codeAutomationExit', resolve);
        },
      }).catch(reject);
    });
    return { code, workbench };
  } finally {
    clearTimeout(timer);
    await browser?.close();
  }
}
