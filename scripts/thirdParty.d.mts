import type { Metafile } from 'esbuild';

export interface BundledPackage {
  readonly name: string;
  readonly version: string;
  /** As in its package.json. */
  readonly license: unknown;
  readonly folder: string;
}

export function bundledPackages(metafiles: readonly Metafile[]): readonly BundledPackage[];
export function noticesOf(packages: readonly BundledPackage[]): string;
export function bomOf(
  packages: readonly BundledPackage[],
  extension: { readonly name: string; readonly version: string },
): { readonly components: readonly Readonly<Record<string, unknown>>[] };
