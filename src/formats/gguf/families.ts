import { LoraError } from '../../shared/errors';
import { FAMILIES, familyOf } from '../architecture/families';
import type { Spec } from '../architecture/spec';
import { transformersClassOf } from '../architecture/transformersClass';
import { unknownKind } from '../architecture/unknownModels';
import { haveGates, variantOf, type GgufFamily } from './family';
import type { Metadata } from './metadata';

/** The GGUF architectures that are supported, by `general.architecture`. */
export const GGUF_FAMILIES: ReadonlyMap<string, GgufFamily> = Object.values(FAMILIES).reduce(
  (found, { gguf }) => (gguf && !found.has(gguf.arch) ? found.set(gguf.arch, gguf) : found),
  new Map<string, GgufFamily>(), // of several families, the first one, which knows the others
);

/** @throws LoraError('base') naming the supported architectures when `arch` is not one. */
export function ggufFamilyOf(arch: string, file: string): GgufFamily {
  const family = GGUF_FAMILIES.get(arch);
  if (family) return family;
  const kind = unknownKind(arch.replaceAll('-', '_'));
  throw new LoraError(
    'base',
    `The architecture "${arch}" is not supported in GGUF files. Supported: ${[...GGUF_FAMILIES.keys()].join(', ')}.`,
    { place: { file, key: 'general.architecture' }, ...(kind && { fix: kind.fix }) },
  );
}

/** The names and shapes of a file's tensors. */
type Tensors = ReadonlyMap<string, { readonly shape: readonly number[] }>;

/** Layers for labels behind an encoder. */
const LABELS = 'cls.output.weight';
const OF_LABELS = /^cls\./;

/**
 * The family of a model in a file: of its architecture, by its metadata and tensors.
 *
 * @throws LoraError('base') for an architecture or a classifier that is not supported
 */
export function familyInFile(metadata: Metadata, tensors: Tensors): GgufFamily {
  const has = (name: string) => tensors.has(name);
  const first = ggufFamilyOf(metadata.string('general.architecture'), metadata.file);
  const own =
    first.variants?.find(({ isOf }) => isOf(metadata, has))?.family ??
    variantOf(first, haveGates(tensors.keys()));
  const head = [...tensors.keys()].find((name) => OF_LABELS.test(name));
  return head === undefined || own.labels === undefined
    ? own
    : withLabels(own.labels, has, { file: metadata.file, tensor: head });
}

/** @throws LoraError('base') where not all layers of the classifier are there */
function withLabels(
  family: GgufFamily | string,
  has: (tensor: string) => boolean,
  place: { readonly file: string; readonly tensor: string },
): GgufFamily {
  const refuse = (reason: string, tensor: string) =>
    new LoraError('base', `The file has a classifier, which is not supported: ${reason}`, {
      place: { file: place.file, tensor },
      fix: "Use the model's safetensors folder.",
    });
  if (typeof family === 'string') throw refuse(family, place.tensor);
  const missing = [...family.top.keys()].find((name) => OF_LABELS.test(name) && !has(name));
  if (missing === undefined) return family;
  throw refuse('one of its layers is missing, without which the scores are others.', missing);
}

/** Keys of config.json of a model with a classifier; none for others. */
export function labelConfig(
  metadata: Metadata,
  { model_type, top, arch }: GgufFamily,
  tensors: Tensors,
): Readonly<Record<string, unknown>> {
  if (!top.has(LABELS)) return {};
  const count = tensors.get(LABELS)?.shape[0] ?? 0;
  const key = `${arch}.classifier.output_labels`;
  const given = metadata.has(key) ? metadata.strings(key) : [];
  const names = Array.from({ length: count }, (_, i) => given[i] ?? `LABEL_${i}`);
  if (given.length > 0 && given.length !== count)
    throw new LoraError('base', `The file names ${given.length} labels, and has ${count}.`, {
      place: { file: metadata.file, key },
      fix: 'Download the file again, or use another one of the model.',
    });
  return {
    architectures: [transformersClassOf({ family: model_type, task: 'seq_cls' })],
    id2label: Object.fromEntries(names.map((name, i) => [String(i), name])),
    label2id: Object.fromEntries(names.map((name, i) => [name, i])),
  };
}

/** The family of GGUF files of a model that `readSpec` has read; null: there are none. */
export function ggufFamilyFor(spec: Pick<Spec, 'family' | 'task'>): GgufFamily | null {
  const { gguf } = familyOf(spec);
  if (!gguf || spec.task === 'embedding' || typeof gguf.labels !== 'object') return gguf;
  return gguf.labels;
}
