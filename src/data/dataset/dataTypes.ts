import type { ColumnNames, DatasetSource } from '../../shared/datasetSources';
import type { Problem } from '../../shared/errors';
import type { Recipe } from '../../shared/recipe';
import type { FileFingerprint } from '../../shared/run';
import type { Batch } from '../examples/batch';
import type { Example } from '../examples/example';
import type { Examples } from '../examples/examples';
import type { SampleAnswer, SampleRow } from '../examples/sampleRows';
import type { DataStatistics } from '../examples/tokenizeRows';
import type { ChatImages } from '../images/chatImages';
import type { ImageReader } from '../images/reader';
import type { LabelSet } from '../tasks/labelSet';
import type { Tokenizer } from '../tokenizer/tokenizer';
import type { Dataset } from './dataset';
import type { ShownRows } from './shownRows';
import type { SourceFiles } from './sources';

export type DataRecipe = Pick<
  Recipe,
  | 'task'
  | 'problem_type'
  | 'dataset'
  | 'validation'
  | 'validation_split'
  | 'labels'
  | 'chats'
  | 'unlabelled_rows'
> & {
  /** Missing in recipes of older versions. */
  readonly objective?: Recipe['objective'];
  /** Missing in recipes of older versions. */
  readonly skip_faulty_rows?: boolean;
  readonly embedding?: Pick<Recipe['embedding'], 'loss'>;
  readonly reranker?: Recipe['reranker'];
  readonly columns?: ColumnNames | undefined;
  readonly tools?: Recipe['tools'];
  readonly training: Pick<Recipe['training'], 'max_length' | 'seed' | 'packing'>;
};

/** Some of the files that were read: those of one source. */
export interface ReadSource {
  readonly source: DatasetSource;
  readonly set: SourceFiles['set'];
  /** The commit of a dataset on the Hub. */
  readonly revision?: string | null;
  /** The first of its datasets, and the one after the last. */
  readonly from: number;
  readonly to: number;
}

/** The rows of a recipe's datasets, checked as far as possible without the base. */
export interface ReadData {
  /** Files of the training set, then of the validation set where the recipe names one. */
  readonly datasets: readonly Dataset[];
  /** The set they belong to. By default, the first is trained on, and a second one held out. */
  readonly sources?: readonly ReadSource[];
  /** Null for tasks without labels, and where rows have errors. */
  readonly labels: LabelSet | null;
}

export interface PreparedData {
  /** Those of the first epoch. */
  readonly train: Examples;
  /** Those of an epoch (from 0), as many in each; the same unless sources have weights. */
  readonly trainIn: (epoch: number) => Examples;
  readonly validation: Examples;
  /** The sources of the training set. */
  readonly sources: readonly PreparedSource[];
  readonly statistics: { readonly train: DataStatistics; readonly validation: DataStatistics };
  readonly labels: LabelSet | null;
  /** Whether rows have weights. */
  readonly has_weights: boolean;
  /** Whether texts have images. */
  readonly has_images: boolean;
  /** At most two rows of the validation set, or of the training set if there is none. */
  readonly sample_rows: readonly SampleRow[];
  /** Answers of some rows of the validation set, where they call tools. */
  readonly call_answers: readonly SampleAnswer[];
  /** All rows of that set that can be shown. */
  readonly shown_rows: ShownRows;
  readonly warnings: readonly Problem[];
  /** The rows that are left out because they have errors (skip_faulty_rows), and the errors. */
  readonly skipped: { readonly rows: number; readonly problems: readonly Problem[] };
  /** Rows that the lists beside the datasets leave out, by the file of the list. */
  readonly excluded: readonly ExcludedCount[];
  /** Of the datasets, each followed by that of its list of excluded rows. */
  readonly fingerprint: readonly FileFingerprint[];
  /** Pads examples to a batch. Rejects with LoraError('dataset') for an unreadable image. */
  readonly collate: (examples: readonly Example[]) => Promise<Batch>;
  /** Positions that an image takes. */
  readonly image_length: number;
  /** Deletes the temporary file of the examples, which cannot be read any more then. */
  readonly close: () => void;
}

/** How many rows a list leaves out. */
export interface ExcludedCount {
  readonly file: string;
  readonly rows: number;
}

/** What is known of a source. */
export interface PreparedSource {
  readonly name: string;
  /** The commit of a dataset on the Hub; null: it is not one. */
  readonly revision: string | null;
  readonly weight: number;
  /** Of its examples, without those that are held out. */
  readonly statistics: DataStatistics;
  /** How many of its examples are drawn in an epoch, and their share of all that are. */
  readonly drawn: number;
  readonly share: number;
  /** Its part of the validation set; null where that is of its own file. */
  readonly validation: Examples | null;
}

/** Turns rows into the inputs of a base model. */
export interface DataTools {
  readonly tokenizer: Tokenizer | null;
  readonly images: ImageReader | null;
  /** Of images in chats. Not given, or null: they are refused. */
  readonly chat_images?: ChatImages | null;
  /** The kind of model, for messages. */
  readonly family?: string;
  /** Rows of the model's embedding. Default: the tokenizer's vocabulary. */
  readonly vocab_size?: number;
  /** Whether the model has token types, which mark the second of two texts. */
  readonly has_types: boolean;
  /** The most tokens that the model has positions for. */
  readonly max_positions: number;
  /** Whether texts fill all positions, and padding is read like text. Default: false. */
  readonly fills?: boolean;
  /** The token that the decoder of an encoder-decoder starts with. */
  readonly start_id?: number;
  /** Folder for temporary files of large data sets. Default: the system's. */
  readonly scratch_folder?: string;
  /** From 0 to 1, several times a second. What it throws ends the reading. */
  readonly onProgress?: (fraction: number) => void;
}
