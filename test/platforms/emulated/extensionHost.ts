// What the extension does on Windows, by its own code, in node.exe as the extension host:
//   extensionHost.js SCENARIO OPTIONS
// Prints a line for each check: {"what":…,"holds":…,"detail":…}.
import { Socket } from 'node:net';
import { scenarios } from './scenarios';

// Wine 8 does not know the time before the first probe, and then refuses to connect; fetch sets it
Socket.prototype.setKeepAlive = function () {
  return this;
};

const [name = '', options = '{}'] = process.argv.slice(2);
const scenario = scenarios[name];
if (!scenario) throw new Error(`There is no scenario ${name}.`);
scenario(JSON.parse(options) as Readonly<Record<string, string>>).then(
  () => process.exit(0),
  (error: unknown) => {
    const detail = error instanceof Error ? (error.stack ?? error.message) : String(error);
    process.stdout.write(`${JSON.stringify({ what: name, holds: false, detail })}\n`);
    process.exit(1);
  },
);
