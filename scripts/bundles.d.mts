export declare function writeBundles(
  outdir: string,
  options?: { readonly development?: boolean },
): Promise<import('esbuild').Metafile[]>;
