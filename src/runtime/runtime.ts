import type { Bf16 } from './processor';

/** Where a runtime came from. */
export type RuntimeSource =
  'setting' | 'installed' | 'cuda' | 'companion' | 'python' | 'mirror' | 'wheel' | 'wasm';

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
      /** Its products of bf16 on this processor. */
      readonly bf16: Bf16;
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
  /** The folder of the companion extension, which carries the pinned libraries. */
  readonly companion?: string | null;
  /** The setting lora.runtime.url: a mirror or folder that has the pinned wheels. */
  readonly url?: string | null;
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

/** As measured; see docs/runtime.md. */
export const WASM_SLOWNESS = 'at least 10 times slower';

/** The fallback that needs no installation, and is far slower. */
export const wasmRuntime = (reason: string, advice = ''): Runtime => ({
  kind: 'wasm',
  source: 'wasm',
  why: `WebAssembly, which needs no installation but trains ${WASM_SLOWNESS} than libtensorflow, because ${reason}.${advice && ` ${advice}`}`,
});

/** The fallback on a platform for which there is no libtensorflow. */
export const wasmRuntimeFor = (platform: string): Runtime =>
  wasmRuntime(`there is no libtensorflow for ${platform}`, adviceFor(platform));

/** Where the same person can train at full speed. */
function adviceFor(platform: string): string {
  if (platform.startsWith('win32'))
    return 'Open the folder in WSL (WSL: Reopen Folder in WSL), which has one.';
  if (platform.startsWith('alpine'))
    return 'Use a container or machine whose Linux has glibc, such as Debian or Ubuntu.';
  return 'Open the folder on a Linux machine (Remote - SSH), which has one.';
}
