/** Where a runtime came from, in the order in which they are tried. */
export type RuntimeSource =
  'setting' | 'installed' | 'cuda' | 'python' | 'wheel' | 'tfjs-node' | 'wasm';

/**
 * A libtensorflow that is there and was checked, with the binding beside it; or the slow fallback.
 */
export type Runtime =
  | {
      readonly kind: 'tensorflow';
      readonly source: Exclude<RuntimeSource, 'wasm'>;
      /** Holds tfjs_binding.node and the libraries it links to. */
      readonly folder: string;
      readonly binding: string;
      readonly tensorflow_version: string;
      readonly device: 'cpu' | 'gpu';
      /** Why this one: a sentence for Show Runtime. */
      readonly why: string;
    }
  | { readonly kind: 'wasm'; readonly source: 'wasm'; readonly why: string };

export interface RuntimeOptions {
  /** The folder of the bundles: holds tfjs-node.js, probe.js and binding/<platform>-<arch>/. */
  readonly dist: string;
  /** Where runtimes are installed. */
  readonly home: string;
  /** The setting lora.runtime.path: a folder with libtensorflow. */
  readonly path?: string | null;
}

export interface InstallProgress {
  readonly message: string;
  /** From 0 to 1; null where it cannot be told. */
  readonly fraction: number | null;
}

export interface InstallOptions {
  readonly signal: AbortSignal;
  readonly onProgress: (progress: InstallProgress) => void;
  readonly log: (line: string) => void;
}
