/** Where a runtime came from. */
export type RuntimeSource = 'setting' | 'installed' | 'cuda' | 'python' | 'wheel' | 'wasm';

/** An installed and verified libtensorflow with the binding beside it, or the slow fallback. */
export type Runtime =
  | {
      readonly kind: 'tensorflow';
      readonly source: Exclude<RuntimeSource, 'wasm'>;
      /** Holds tfjs_binding.node and the libraries that it links to. */
      readonly folder: string;
      /** The path of tfjs_binding.node. */
      readonly binding: string;
      readonly tensorflow_version: string;
      readonly device: 'cpu' | 'gpu';
      /** Why this runtime is used: a sentence for Show Runtime. */
      readonly why: string;
    }
  | { readonly kind: 'wasm'; readonly source: 'wasm'; readonly why: string };

export interface RuntimeOptions {
  /** The folder of the bundles: holds tfjs-node.js, probe.js and binding/<platform>-<arch>/. */
  readonly dist: string;
  /** The folder that runtimes are installed into. */
  readonly home: string;
  /** The setting lora.runtime.path: a folder with libtensorflow. */
  readonly path?: string | null;
}

export interface InstallProgress {
  readonly message: string;
  /** From 0 to 1; null while it is unknown. */
  readonly fraction: number | null;
}

export interface InstallOptions {
  readonly signal: AbortSignal;
  readonly onProgress: (progress: InstallProgress) => void;
  readonly log: (line: string) => void;
}

/** The fallback that needs no installation, at about a fifth of the speed. */
export const wasmRuntime = (reason: string): Runtime => ({
  kind: 'wasm',
  source: 'wasm',
  why: `WebAssembly, which needs no installation but trains at about a fifth of the speed, because ${reason}.`,
});

/** The fallback on a platform for which there is no libtensorflow. */
export const wasmRuntimeFor = (platform: string): Runtime =>
  wasmRuntime(`there is no libtensorflow for ${platform}`);
