import type { BesideSettings, TrainedBeside } from '../formats/architecture/trainedBeside';
import type { TargetableModule } from '../lora/adapter';
import type { ModelSize } from '../lora/modelSize';
import type { StepMachine } from '../lora/stepPlan';
import type { KnownStep } from '../lora/layersMemory';
import type { CodeLimits, CodePlace, CodePrompt } from '../data/code/codeTokens';
import type { Thumbnail } from '../data/images/thumbnail';
import type { SerializedError } from '../shared/errors';
import type { TensorRow, Values } from '../shared/pages/inspect/protocol';
import type { CommonSize } from '../shared/stepMemory';
import type { RowForm } from '../shared/objective';
import type { Task } from '../shared/task';
import type { DataQuestions } from './dataset/questions';

export type { CodeLimits, CodePlace } from '../data/code/codeTokens';

/** The header of a file of tensors. */
export interface TensorFileFacts {
  readonly format: 'safetensors' | 'gguf';
  readonly bytes: number;
  readonly metadata: readonly MetadataValue[];
  readonly tensors: readonly TensorRow[];
}

/** A value of the metadata as text, shortened. */
export interface MetadataValue {
  readonly key: string;
  readonly value: string;
  /** Present for a list of which `value` has the first elements only: how many it has. */
  readonly total?: number;
}

/**
 * What `lora inspect` says of an adapter: that it changes nothing, what in its config matches
 * nothing, or why it cannot be used.
 */
export interface AdapterFindings {
  readonly findings: readonly string[];
  /** Its bytes, if it is too large to be read here; then there are no findings. */
  readonly tooLarge: number | null;
}

/** What decides which numbers of the base a recipe trains beside the factors. */
export interface RecipeOfBase extends BesideSettings {
  readonly task: Task;
}

/** What the headers of a base model say of it, for a recipe where one is given. */
export interface BaseHeaders {
  readonly path: string;
  readonly name: string;
  readonly parameters: number;
  /** Null: a layers model, whose memory follows from `layers`. */
  readonly size: ModelSize | null;
  readonly layers?: KnownStep;
  /** Patches of an image in chats, at most, by its image settings. */
  readonly image_patches?: number;
  /** The length to which each text is padded, or that of an image. Not given: it varies. */
  readonly row_length?: number;
  readonly modules: readonly TargetableModule[];
  /** What of it trains beside the factors of an adapter. Not given: nothing. */
  readonly besides?: TrainedBeside;
  /** The task that it was made for, or that of the recipe, and those that it can be trained for. */
  readonly task: Task;
  readonly tasks: readonly Task[];
}

/** A .jsonl file, or a folder of images with a subfolder for each class. */
export interface DatasetCandidate {
  readonly path: string;
  /** Relative to its workspace folder. */
  readonly name: string;
  readonly bytes: number;
  /** The task that its first row suggests. */
  readonly task: Task;
  /** The keys of the first row; empty when that is no JSON object. For images, the classes. */
  readonly keys: readonly string[];
  /** The number of rows or images; null for a file that is too large to count quickly. */
  readonly rows: number | null;
  /** A file beside it that is meant for validation by its name. */
  readonly validation: string | null;
  /** Present for a folder of images. */
  readonly images?: boolean;
}

/** The columns of a dataset, with what they hold in the first rows. */
export interface ColumnFacts {
  /** What rows with these columns can be read as. */
  readonly forms: readonly RowForm[];
  readonly columns: readonly {
    readonly name: string;
    /** Of the first rows, shortened. */
    readonly values: readonly string[];
  }[];
}

/** What writing text with a base depends on. */
export interface WriterFacts {
  /** Tokens of a text and its continuation together. */
  readonly positions: number;
  /** Whether it has a chat template. */
  readonly chats: boolean;
  /** Whether the chat template writes tools. */
  readonly tools: boolean;
  /** Whether its vocabulary has tokens for filling in the middle of a text. */
  readonly fim: boolean;
}

/** The questions that the process answers, by their kinds. Answers are JSON. */
export interface Questions extends DataQuestions {
  readonly tensorFile: {
    readonly asked: { readonly file: string };
    readonly answer: TensorFileFacts;
  };
  readonly values: {
    readonly asked: { readonly file: string; readonly tensor: string };
    readonly answer: Values;
  };
  /** Of the adapter that the file holds or belongs to. */
  readonly findings: {
    readonly asked: { readonly file: string };
    readonly answer: AdapterFindings;
  };
  readonly base: {
    readonly asked: { readonly file: string; readonly recipe?: RecipeOfBase };
    readonly answer: BaseHeaders;
  };
  /** Of published models, for which no file is read. */
  readonly commonSizes: {
    readonly asked: { readonly machine: StepMachine };
    readonly answer: readonly CommonSize[];
  };
  /** The datasets in folders and below. */
  readonly datasets: {
    readonly asked: { readonly folders: readonly string[] };
    readonly answer: readonly DatasetCandidate[];
  };
  readonly dataset: {
    readonly asked: { readonly file: string; readonly siblings: readonly string[] };
    readonly answer: DatasetCandidate;
  };
  /** Of a file, or of the first file in a folder. */
  readonly columns: { readonly asked: { readonly file: string }; readonly answer: ColumnFacts };
  /** The files with rows in a folder; the file itself where it is not one. */
  readonly rowFiles: {
    readonly asked: { readonly file: string };
    readonly answer: readonly { readonly path: string; readonly bytes: number }[];
  };
  /** Null: the base writes no text. */
  readonly writer: {
    readonly asked: { readonly file: string };
    readonly answer: WriterFacts | null;
  };
  /** Of an image, a file or a data: URL. */
  readonly thumbnail: { readonly asked: { readonly file: string }; readonly answer: Thumbnail };
  /** How many tokens of a base texts have, all together. */
  readonly tokenCount: {
    readonly asked: { readonly file: string; readonly texts: readonly string[] };
    readonly answer: number;
  };
  readonly codePrompt: {
    readonly asked: {
      readonly file: string;
      readonly place: CodePlace;
      readonly limits: CodeLimits;
    };
    readonly answer: CodePrompt;
  };
}
export type QuestionKind = keyof Questions;
export type Asked<K extends QuestionKind> = Questions[K]['asked'];
export type Answer<K extends QuestionKind> = Questions[K]['answer'];

/** A line to the process. One question is asked at a time. */
export type Question = {
  readonly [K in QuestionKind]: { readonly kind: K; readonly asked: Asked<K> };
}[QuestionKind];

/** A question on the dataset that a page shows. */
export type DataQuestion = Extract<Question, { kind: keyof DataQuestions }>;

/** A question on a base that writes text, for which its tokenizer is read. */
export type WriterQuestion = Extract<Question, { kind: 'writer' | 'tokenCount' | 'codePrompt' }>;

export const isWriterQuestion = (question: Question): question is WriterQuestion =>
  ['writer', 'tokenCount', 'codePrompt'].includes(question.kind);

export const isDataQuestion = (question: Question): question is DataQuestion =>
  question.kind.startsWith('data') && question.kind !== 'dataset' && question.kind !== 'datasets';

/** A line from the process: the answer to the last question. */
export type Reply =
  | { readonly kind: 'answer'; readonly answer: unknown }
  | { readonly kind: 'error'; readonly error: SerializedError };

/** The most characters of a reply: the header of a model with 100,000 tensors. */
export const MAX_REPLY = 2 ** 24;
