// Runs in the extension host: runs files with Mocha, and writes the results to a file.
const fs = require('node:fs');
const { format } = require('node:util');
const { takeCoverage } = require('node:v8');

exports.run = async ({ mocha: module, files, report, ui, testTimeout }) => {
  const Mocha = require(module);
  const lines = [];
  const tests = [];
  // VS Code makes console.log read-only, so the reporters' log function is replaced.
  Mocha.reporters.Base.consoleLog = (...args) => {
    lines.push(format(...args));
    console.log(format(...args));
  };
  const mocha = new Mocha({ ui, timeout: testTimeout, color: false });
  for (const file of files) mocha.addFile(file);
  try {
    await mocha.loadFilesAsync();
    const failed = await new Promise((resolve) => {
      const runner = mocha.run(resolve);
      runner.on('test end', (test) => {
        if (test.state === 'failed') return;
        tests.push({ title: test.fullTitle(), state: test.state ?? 'pending', ms: test.duration });
      });
      runner.on('fail', (test, error) => {
        const text = error.stack ?? String(error);
        tests.push({ title: test.fullTitle(), file: test.file, state: 'failed', error: text });
      });
    });
    if (failed > 0) throw new Error(`${failed} failed`);
  } catch (error) {
    lines.push(String(error.stack ?? error));
    throw error;
  } finally {
    fs.writeFileSync(report, JSON.stringify({ tests, output: lines.join('\n') }));
    takeCoverage(); // if NODE_V8_COVERAGE is set
  }
};
