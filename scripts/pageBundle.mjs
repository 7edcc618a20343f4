// The extension's pages, for the build, the browser tests and `npm run pages`.
import path from 'node:path';
import { tsImport } from 'tsx/esm/api';

const root = path.resolve(import.meta.dirname, '..');

export const { PAGES } = await tsImport('../src/shared/pages/pages.ts', import.meta.url);

/**
 * esbuild options that bundle each page into <id>.js and <id>.css beside the icon font. What pages
 * have in common is in chunks, which they import.
 */
export const pageBuild = {
  absWorkingDir: root,
  entryPoints: Object.fromEntries(Object.entries(PAGES).map(([id, { entry }]) => [id, entry])),
  bundle: true,
  platform: 'browser',
  format: 'esm',
  splitting: true,
  chunkNames: 'chunk-[hash]',
  target: 'es2022',
  loader: { '.ttf': 'file' },
  assetNames: '[name]',
  logLevel: 'warning',
};
