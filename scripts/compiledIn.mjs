// The libraries inside compiled files (.wasm) of packages: their package.json does not name them.
import { readFileSync } from 'node:fs';
import path from 'node:path';

const texts = path.join(import.meta.dirname, 'licences');

/** Of each package, in the version that was looked at: its WORKSPACE file and its .wasm files. */
const COMPILED_IN = {
  // the binding, which is compiled here with zig's C++ library (src/runtime/binding)
  '@tensorflow/tfjs-node@4.22.0': [
    {
      name: 'LLVM compiler-rt, libc++, libc++abi and libunwind',
      source: 'github/llvm/llvm-project',
      license: 'Apache-2.0 WITH LLVM-exception',
      holders: ['Copyright (c) the LLVM project and its contributors'],
      texts: ['Apache-2.0', 'LLVM-exception'],
    },
    {
      name: 'zig',
      source: 'generic/zig',
      license: 'MIT',
      holders: ['Copyright (c) Zig contributors'],
    },
    {
      name: 'mingw-w64 runtime (on Windows)',
      source: 'generic/mingw-w64',
      license: 'ZPL-2.1',
      holders: ['Copyright (c) 2009 - 2013 by the mingw-w64 project'],
    },
  ],
  '@tensorflow/tfjs-backend-wasm@4.22.0': [
    {
      name: 'XNNPACK',
      source: 'github/google/XNNPACK',
      license: 'BSD-3-Clause',
      holders: [
        'Copyright (c) Facebook, Inc. and its affiliates. All rights reserved.',
        'Copyright 2019 Google LLC',
      ],
      texts: ['XNNPACK'],
    },
    {
      name: 'pthreadpool',
      source: 'github/Maratyszcza/pthreadpool',
      license: 'BSD-2-Clause',
      holders: [
        'Copyright 2019 Google LLC',
        'Copyright (c) 2017 Facebook Inc.',
        'Copyright (c) 2015-2017 Georgia Institute of Technology',
        'All rights reserved.',
      ],
    },
    {
      name: 'cpuinfo and clog',
      source: 'github/pytorch/cpuinfo',
      license: 'BSD-2-Clause',
      holders: [
        'Copyright (c) 2019 Google LLC',
        'Copyright (c) 2017-2018 Facebook Inc.',
        'Copyright (C) 2012-2017 Georgia Institute of Technology',
        'Copyright (C) 2010-2012 Marat Dukhan',
        'All rights reserved.',
      ],
    },
    {
      name: 'FP16',
      source: 'github/Maratyszcza/FP16',
      license: 'MIT',
      holders: [
        'Copyright (c) 2017 Facebook Inc.',
        'Copyright (c) 2017 Georgia Institute of Technology',
      ],
    },
    {
      name: 'FXdiv',
      source: 'github/Maratyszcza/FXdiv',
      license: 'MIT',
      holders: ['Copyright (c) 2016 Marat Dukhan'],
    },
    {
      name: 'emscripten',
      source: 'github/emscripten-core/emscripten',
      license: 'MIT',
      holders: ['Copyright (c) 2010-2014 Emscripten authors, see AUTHORS file.'],
    },
    {
      name: 'musl',
      source: 'generic/musl',
      license: 'MIT',
      holders: [
        'Copyright (c) 2005-2020 Rich Felker, et al.',
        'Most of the math library: Copyright (c) 1993, 2004 Sun Microsystems, 2003-2011 David Schultz,',
        '2003-2009 Steven G. Kargl, 2003-2009 Bruce D. Evans, 2008 Stephen L. Moshier',
      ],
    },
    {
      name: 'LLVM compiler-rt, libc++ and libc++abi',
      source: 'github/llvm/llvm-project',
      license: 'Apache-2.0 WITH LLVM-exception',
      holders: ['Copyright (c) the LLVM project and its contributors'],
      texts: ['Apache-2.0', 'LLVM-exception'],
    },
  ],
};

/**
 * The libraries that are compiled into a package's files.
 * @throws {Error} for another version of such a package: it may contain other libraries.
 */
export function compiledIn({ name, version }) {
  const key = `${name}@${version}`;
  const known = Object.keys(COMPILED_IN).find((own) => own.startsWith(`${name}@`));
  if (known === undefined || known === key) return COMPILED_IN[key] ?? [];
  throw new Error(
    `${key} has compiled files: look up the libraries in them, and correct scripts/compiledIn.mjs (${known}).`,
  );
}

/** Name, licence and its text. */
export const noticeOfPart = ({ name, license, holders, texts: names = [license] }) =>
  [
    `${name} (${license})`,
    holders.join('\n'),
    ...names.map((own) => readFileSync(path.join(texts, `${own}.txt`), 'utf8').trim()),
  ].join('\n\n');

/** CycloneDX's component; its version is not known. */
export const componentOfPart = ({ name, source, license }) => ({
  type: 'library',
  'bom-ref': `pkg:${source}`,
  name,
  purl: `pkg:${source}`,
  licenses: [license.includes(' ') ? { expression: license } : { license: { id: license } }],
});
