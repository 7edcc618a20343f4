// npm run test:platforms [-- PLATFORM…]: the bindings of other platforms, on Linux x64.
//   linux-arm64   under qemu
//   win32-x64     under Wine, by node.exe
//   darwin-arm64  not run: symbols, versions and signature
// Needs Wine, qemu (it says what to install) and 900 MB of wheels, kept in the user's cache.
import { run as runHere } from '../../scripts/dependencies.mjs';
import { check, failures } from './checks.mjs';
import { darwinArm64 } from './darwinArm64.mjs';
import { instructions } from './instructions.mjs';
import { linuxArm64 } from './linuxArm64.mjs';
import { win32X64 } from './win32X64.mjs';

const CHECKS = { 'linux-arm64': linuxArm64, 'win32-x64': win32X64, 'darwin-arm64': darwinArm64 };
/** Only by name. */
const OTHERS = { instructions };

const chosen = process.argv.slice(2);
if (!runHere(process.execPath, ['scripts/build.mjs', '--all-bindings']).ok) process.exit(1);
for (const platform of chosen.length > 0 ? chosen : Object.keys(CHECKS)) {
  try {
    await { ...CHECKS, ...OTHERS }[platform]();
  } catch (error) {
    check(platform, false, error.describe?.() ?? error.message);
  }
}
console.log(failures() === 0 ? 'all passed' : `${failures()} failed`);
process.exit(failures() === 0 ? 0 : 1);
