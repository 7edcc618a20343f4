import path from 'node:path';
import { isModuleToSave } from '../../lora/modulesToSave';
import { areEqual } from '../../lora/tying';
import { tiedWeight } from '../architecture/modules';
import { modulePathIn } from '../architecture/modulePath';
import type { ReadSpecOptions } from '../architecture/readSpec';
import { openBase } from '../openBase';
import { LoraError } from '../../shared/errors';
import { isFile } from '../../common/fileStatus';
import { hasTokenizer, readFolderTokenizer } from '../folderTokenizer';
import type { BaseModel } from '../baseModel';
import type { ReplacedTensor } from '../weightSource';
import type { AdapterConfig } from '../../lora/adapter';
import { adapterBaseOf } from './againstBase';
import { readAdapterConfig } from './config';
import { roleOf, type TensorRole } from './names';
import { CONFIG_FILE, peftFolder, WEIGHTS_FILE } from './fileNames';
import { hasWeights, withAdapterWeights } from './files';
import { isTrained } from './read';
import { isTiedTo, tiedPaths } from './tying';

/**
 * Opens a base for an adapter. Whole tensors in the adapter's file that it doesn't train replace
 * those of the base, as PEFT loads them into it: with added tokens an embedding and an output layer
 * of another size, and the tokenizer beside them. Close the result.
 *
 * @throws LoraError as `openBase`, or when the adapter's config or weights cannot be read.
 */
export async function openBaseUnder(
  file: string,
  given: string | null,
  options: ReadSpecOptions = {},
): Promise<BaseModel> {
  const base = await openBase(file, options);
  if (given === null) return base;
  const adapter = peftFolder(given);
  try {
    const replaced = await replacementsIn(adapter, base);
    if (replaced.size === 0) return base;
    await base.close();
    const own = await openBase(file, { ...options, ...vocabularySize(base, replaced), replaced });
    return (await hasTokenizer(adapter))
      ? { ...own, readTokenizer: () => readFolderTokenizer(adapter, file) }
      : own;
  } catch (error) {
    await base.close();
    throw error;
  }
}

/**
 * Checks an adapter that is used below another one, which the base was opened for.
 *
 * @throws LoraError('adapter') when it would replace tensors of the base, too.
 */
export async function refuseReplacements(given: string, base: BaseModel): Promise<void> {
  const adapter = peftFolder(given);
  const [name] = (await replacementsIn(adapter, base)).keys();
  if (name === undefined) return;
  throw new LoraError(
    'adapter',
    `The adapter replaces ${name} of the base, so it cannot be used below another one.`,
    {
      place: { file: path.join(adapter, WEIGHTS_FILE), tensor: name },
      fix: 'Merge it into the base first, and use the merged model.',
    },
  );
}

type Replacements = ReadonlyMap<string, ReplacedTensor>;

/** The vocabulary's tensors by the names of the base's, where it has their own numbers. */
function vocabularyOf({ spec }: BaseModel): readonly string[] {
  if (spec.embedding.kind !== 'tokens') return [];
  const embedding = `${spec.embedding.tokens.path}.weight`;
  return spec.head.kind === 'lm' && !spec.head.tied
    ? [embedding, `${spec.head.output.path}.weight`]
    : [embedding];
}

function vocabularySize(base: BaseModel, replaced: Replacements): { vocab_size?: number } {
  const rows = vocabularyOf(base).flatMap((name) => replaced.get(name)?.shape[0] ?? []);
  return rows[0] === undefined ? {} : { vocab_size: rows[0] };
}

/** A whole tensor of an adapter's file that stands for one of the base's. */
interface WholeTensor {
  /** The name of the base's tensor. */
  readonly name: string;
  readonly shape: readonly number[];
  readonly origin: Origin;
  readonly read: () => Promise<Float32Array>;
}

/**
 * The role of the tensor in the adapter: frozen; the frozen output layer of a base whose embedding
 * has the same weight; or trained by it, which replaces the base's only if that has another size.
 */
const ORIGINS = ['frozen', 'frozen output', 'trained'] as const;
type Origin = (typeof ORIGINS)[number];

async function replacementsIn(folder: string, base: BaseModel): Promise<Replacements> {
  const vocabulary = vocabularyOf(base);
  const found = new Map<string, ReplacedTensor>();
  for (const whole of await wholeTensorsIn(folder, base)) {
    const { name, shape, origin } = whole;
    const own = base.weights.tensors.get(name);
    const isReplacement =
      own?.shape.join() === shape.join()
        ? origin !== 'trained' && (await differs(base, whole))
        : vocabulary.includes(name) && shape[1] === base.spec.hidden_size;
    if (isReplacement) found.set(name, whole);
  }
  return found;
}

/** Whether the numbers are not those of the base. Those of a quantized base always differ. */
async function differs(base: BaseModel, { name, read }: WholeTensor): Promise<boolean> {
  return base.format !== 'gguf' && !areEqual(await base.weights.readF32(name), await read());
}

/** At most one tensor for each of the base's. */
async function wholeTensorsIn(folder: string, base: BaseModel): Promise<readonly WholeTensor[]> {
  const configFile = path.join(folder, CONFIG_FILE);
  if (!(await hasWeights(folder)) || !(await isFile(configFile))) return [];
  return withAdapterWeights(folder, async (source) => {
    const stored = [...source.tensors.values()].flatMap(({ name, shape }) => {
      const role = roleOf(name);
      return role.role === 'trained' || role.role === 'base' ? [{ name, shape, role }] : [];
    });
    if (stored.length === 0) return [];
    const placeOf = placing(base, await readAdapterConfig(configFile));
    const best = new Map<string, WholeTensor>();
    for (const { name: own, shape, role } of stored) {
      const place = placeOf(role);
      const known = best.get(place?.name ?? '');
      if (!place || (known && ORIGINS.indexOf(known.origin) <= ORIGINS.indexOf(place.origin)))
        continue;
      const read = () => withAdapterWeights(folder, (again) => again.readF32(own));
      best.set(place.name, { ...place, shape, read });
    }
    return [...best.values()];
  });
}

type WholeRole = Extract<TensorRole, { role: 'trained' | 'base' }>;

/** Where a tensor belongs in the base; null: nowhere. */
function placing(
  base: BaseModel,
  config: AdapterConfig,
): (role: WholeRole) => Pick<WholeTensor, 'name' | 'origin'> | null {
  const against = adapterBaseOf(base);
  const shared = tiedWeight(base.spec);
  const tied = tiedPaths(config, against, []);
  const isSaved = (own: string) => isModuleToSave(own, config.modules_to_save);
  return (role) => {
    const own = modulePathIn(base.spec, role.path);
    const tensor = role.role === 'base' ? 'weight' : role.tensor;
    const name = `${own}.${tensor}`;
    const isTrainedHere =
      role.role === 'trained' &&
      (isTrained(own, tensor, config, against) || isTiedTo(own, tied, isSaved));
    if (shared?.name !== name) return { name, origin: isTrainedHere ? 'trained' : 'frozen' };
    return isTrainedHere ? null : { name: shared.storedAs, origin: 'frozen output' };
  };
}
