import { openAsBlob } from 'node:fs';
import { lstat } from 'node:fs/promises';
import path from 'node:path';
import { hashFile } from '../../common/hashFile';
import { listFolder, MAX_BYTES, readTextFile } from '../../common/regularFile';
import { hubNameOfPath, isHubName } from '../../formats/hub/hubName';
import { isLocalPath } from '../../formats/hub/publishedBase';
import { readJsonObject } from '../../formats/json';
import { LoraError } from '../../shared/errors';
import { oneLine } from '../../shared/plainText';
import { pathInJson, withBaseName } from './localPaths';

/** A file to upload: small ones as text, others as they are on the disk. */
export interface PushFile {
  /** In the repository. */
  readonly path: string;
  readonly size: number;
  readonly content: () => Promise<Blob>;
  readonly sha256: () => Promise<string>;
}

/** What an adapter's folder holds for the Hub. */
export interface PushFiles {
  readonly files: readonly PushFile[];
  /** Names of what stays here, for people: the first of them, each in one line. */
  readonly left_out: readonly string[];
  /** The name of the base on the Hub. */
  readonly base: string;
  readonly warnings: readonly string[];
}

const CONFIG = 'adapter_config.json';
const CARD = 'README.md';
const TOKENIZER_CONFIG = 'tokenizer_config.json';
const WEIGHTS = 'adapter_model.safetensors';
/** Files of an adapter and of its tokenizer. */
const PUBLISHED =
  /^(?:adapter_model\.safetensors|labels\.json|tokenizer(?:_config)?\.json|tokenizer\.model|special_tokens_map\.json|added_tokens\.json|vocab\.(?:json|txt)|merges\.txt|chat_template\.(?:jinja|json)|LICENSE(?:\.\w+)?)$/;
/** The Hub takes larger files in parts only. */
const MAX_FILE_BYTES = 5e9;
const MAX_CARD_BYTES = 2 ** 20;
const MAX_NAMED = 20;

/**
 * The files of a PEFT adapter. Its configuration and that of its tokenizer name the base as on the
 * Hub, not by a path of this disk. Links are left out.
 *
 * @throws LoraError('adapter') when it is no PEFT adapter, 'usage' when the base has no name there
 */
export async function pushFiles(folder: string, named: string | null): Promise<PushFiles> {
  const entries = await listFolder(folder).catch(() => []);
  const names = entries.filter((entry) => entry.isFile()).map(({ name }) => name);
  if (!names.includes(CONFIG) || !names.includes(WEIGHTS))
    throw new LoraError('adapter', 'Only a PEFT adapter, which is a folder, can be uploaded.', {
      place: { file: folder },
      fix: 'Convert it to PEFT first (lora convert --to peft).',
    });
  const config = await readJsonObject(path.join(folder, CONFIG), 'adapter');
  const own = config['base_model_name_or_path'];
  const base = named ?? nameOnHub(own);
  if (base === null)
    throw new LoraError('usage', 'The adapter names no base that is on the Hub.', {
      place: { file: path.join(folder, CONFIG), key: 'base_model_name_or_path' },
      fix: 'Name it (--base-name OWNER/MODEL).',
    });
  const published = names.filter((name) => PUBLISHED.test(name)).sort();
  const card = names.includes(CARD) ? await readCard(path.join(folder, CARD)) : null;
  const text = JSON.stringify({ ...config, base_model_name_or_path: base }, null, 2);
  const tokenizer = published.includes(TOKENIZER_CONFIG)
    ? withBaseName(await readTokenizerConfig(path.join(folder, TOKENIZER_CONFIG)), base)
    : null;
  const onDisk = published.filter((name) => name !== TOKENIZER_CONFIG);
  return {
    base,
    files: [
      textFile(CONFIG, `${text}\n`),
      ...(card === null ? [] : [textFile(CARD, withBase(card, base))]),
      ...(tokenizer === null ? [] : [textFile(TOKENIZER_CONFIG, tokenizer)]),
      ...(await Promise.all(onDisk.map((name) => diskFile(folder, name)))),
    ],
    left_out: entries
      .map(({ name }) => name)
      .filter((name) => name !== CONFIG && name !== CARD && !published.includes(name))
      .sort()
      .slice(0, MAX_NAMED)
      .map(oneLine),
    warnings: [
      ...(card === null ? ['There is no README.md: the Hub will show no model card.'] : []),
      ...pathWarnings(card, own, { [CONFIG]: text, [TOKENIZER_CONFIG]: tokenizer ?? '' }),
    ],
  };
}

function nameOnHub(own: unknown): string | null {
  if (typeof own !== 'string') return null;
  if (isHubName(own)) return own;
  return isLocalPath(own) ? hubNameOfPath(own) : null;
}

/** Paths of this disk that the files still contain. */
function pathWarnings(card: string | null, own: unknown, configs: Record<string, string>) {
  const inCard = typeof own === 'string' && path.isAbsolute(own) && card?.includes(own);
  const found = Object.entries(configs).map(([name, text]) => [name, pathInJson(text)] as const);
  return [...(inCard ? [[CARD, own] as const] : []), ...found].flatMap(([name, place]) =>
    place === null ? [] : [`${name} contains a path of this disk: ${oneLine(place)}`],
  );
}

const readCard = (file: string): Promise<string> =>
  readTextFile(file, { maxBytes: Math.min(MAX_CARD_BYTES, MAX_BYTES.writtenByPeople) });

const readTokenizerConfig = (file: string): Promise<string> =>
  readTextFile(file, { maxBytes: MAX_BYTES.modelJson });

/** Names the base in the front matter of a model card, unless it does already. */
function withBase(card: string, base: string): string {
  const [front] = /^---\n[^]*?\n---(?=\n)/.exec(card) ?? [];
  if (front === undefined || /^base_model:/m.test(front)) return card;
  return `---\nbase_model: ${JSON.stringify(base)}${card.slice(3)}`;
}

function textFile(name: string, text: string): PushFile {
  const blob = new Blob([text]);
  const hash = async () => {
    const digest = await crypto.subtle.digest('SHA-256', await blob.arrayBuffer());
    return Buffer.from(digest).toString('hex');
  };
  return { path: name, size: blob.size, content: () => Promise.resolve(blob), sha256: hash };
}

async function diskFile(folder: string, name: string): Promise<PushFile> {
  const file = path.join(folder, name);
  const { size } = await lstat(file);
  if (size > MAX_FILE_BYTES)
    throw new LoraError('adapter', 'Files of more than 5 GB cannot be uploaded here.', {
      place: { file },
      fix: 'Upload it with the client of Hugging Face: hf upload.',
    });
  return { path: name, size, content: () => openAsBlob(file), sha256: () => hashFile(file) };
}
