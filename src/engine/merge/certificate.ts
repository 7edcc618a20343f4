import path from 'node:path';
import * as v from 'valibot';
import { pathExists } from '../../common/fileStatus';
import { readJsonObject } from '../../formats/json';
import { LoraError } from '../../shared/errors';
import { mergeFinding, type MergeSizes, type RoundedTensor } from '../../shared/mergeFacts';
import type { LlamaOutput } from '../../shared/useTools';
import type { TensorFacts } from './roundingFacts';

/** The file name of a merged folder's certificate. */
export const CERTIFICATE = 'merge.json';

/** The file name of a merged .gguf file's certificate, which is in the same folder. */
export const certificateName = (file: string): string => `${file}.${CERTIFICATE}`;

/** How far the merged model is from base + adapters, on a few prompts. */
export interface Parity {
  readonly prompts: number;
  /** Largest difference of a logit between base + adapters and the merged model. */
  readonly largest_gap: number;
  /** Largest logit, for comparison. */
  readonly largest_logit: number;
  /** Share of the positions at which both have the same most likely token. */
  readonly top1_agreement: number;
}

/** How far the written weights of an image model are from W + s·BA, reckoned again. */
export interface WeightParity {
  /** Rows that were read again, some of each changed tensor. */
  readonly rows: number;
  readonly elements: number;
  /** Largest difference of an element; rounding alone if all is well. */
  readonly largest_gap: number;
  /** Root of the mean square of the differences. */
  readonly rms_gap: number;
}

/** A file and its hash. */
export interface HashedFile {
  readonly file: string;
  readonly sha256: string;
}

/** merge.json: what was merged, how, and how large the rounding errors are. */
export interface Certificate {
  readonly version: 1;
  readonly created: string;
  readonly formula: string;
  readonly scale: number;
  /** Modules that do not fit the base were left out. */
  readonly partial: boolean;
  readonly dtype: string;
  /** Its name on the Hub, or its place as `inputs`. */
  readonly base: string;
  /** Places as in `inputs`. */
  readonly adapters: readonly string[];
  /** Places as seen from the certificate's folder. */
  readonly inputs: readonly HashedFile[];
  readonly outputs: readonly HashedFile[];
  /** The output layer is no longer tied to the embedding. */
  readonly untied: boolean;
  readonly sizes: MergeSizes;
  readonly tensors: readonly TensorFacts[];
  /** Null if it was not measured. */
  readonly parity: Parity | null;
  /** Of image models, which are not run: their weights are compared instead. */
  readonly weights?: WeightParity | null;
  /** What llama.cpp makes with it; null: nothing. Not given: it is no model for text. */
  readonly makes?: LlamaOutput | null;
  readonly warnings: readonly string[];
}

const hashedFile = v.object({ file: v.string(), sha256: v.string() });

const CertificateSchema = v.looseObject({
  version: v.literal(1),
  base: v.string(),
  adapters: v.array(v.string()),
  scale: v.number(),
  partial: v.optional(v.boolean()),
  inputs: v.array(hashedFile),
  outputs: v.array(hashedFile),
  untied: v.boolean(),
  formula: v.string(),
  tensors: v.array(v.looseObject({ name: v.string(), rounding_error: v.number() })),
});

/** The part of a certificate that verifying and unmerging need. */
export type CertificateFile = v.InferOutput<typeof CertificateSchema>;

/** The folder of a merged model's files. */
export const folderOfModel = (model: string): string =>
  isModelFile(model) ? path.dirname(model) : model;

/** Whether a merged model is named as a single file. */
export const isModelFile = (model: string): boolean => /\.(?:gguf|safetensors)$/.test(model);

/**
 * The certificate of a merged model, a folder or a .gguf file.
 * @throws LoraError('usage') when there is none, or it is not valid.
 */
export async function readCertificate(model: string): Promise<CertificateFile> {
  const name = isModelFile(model) ? certificateName(path.basename(model)) : CERTIFICATE;
  const file = path.join(folderOfModel(model), name);
  if (!(await pathExists(file))) {
    throw new LoraError('usage', `This is not a merged model: it has no ${name}.`, {
      place: { file: model },
      fix: 'Name the folder or the file that lora merge wrote.',
    });
  }
  const parsed = v.safeParse(CertificateSchema, await readJsonObject(file, 'usage'));
  if (!parsed.success) {
    throw new LoraError('usage', 'The certificate is not valid.', {
      place: { file },
      fix: 'Merge again.',
    });
  }
  const outside = parsed.output.outputs.find((own) => !isInside(own.file));
  if (outside) {
    throw new LoraError(
      'usage',
      `The certificate names the file ${JSON.stringify(outside.file)}, which is outside its folder.`,
      { place: { file } },
    );
  }
  return withPlaces(parsed.output, path.resolve(folderOfModel(model)));
}

/** Whether a path stays in the folder that it is read in; image models have folders of models. */
const isInside = (file: string): boolean =>
  !path.isAbsolute(file) &&
  !/[\\:]/.test(file) &&
  file.split('/').every((part) => part !== '' && part !== '.' && part !== '..');

/** A place as seen from the certificate's folder, so that it tells little of this disk. */
export const placeIn = (folder: string, file: string): string =>
  path.relative(folder, path.resolve(file)).replaceAll(path.sep, '/');

/** Where the base was: its folder or its .gguf file. */
export function basePlace({ inputs: [first], base }: CertificateFile): string {
  if (!first) {
    return base;
  }
  return first.file.endsWith('.gguf') ? first.file : path.dirname(first.file);
}

/** The certificate with absolute places. */
function withPlaces(certificate: CertificateFile, folder: string): CertificateFile {
  const placeOf = (file: string) => path.resolve(folder, file);
  const inputs = certificate.inputs.map((own) => ({ ...own, file: placeOf(own.file) }));
  return { ...certificate, adapters: certificate.adapters.map(placeOf), inputs };
}

/** Warnings about the result for the user of the command line. */
export function mergeWarnings(tensors: readonly RoundedTensor[]): string[] {
  const finding = mergeFinding(tensors);
  switch (finding?.kind) {
    case 'noUpdate':
      return ['The update is zero: the adapter changes none of the tensors that it adapts.'];
    case 'rounded':
      return [
        `${(100 * finding.share).toFixed(1)}% of the elements that the adapter changes are the same after rounding: their updates are too small for the dtype. Merge with --dtype float32 to keep them.`,
      ];
    case undefined:
      return [];
  }
}
