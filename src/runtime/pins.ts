import { existsSync } from 'node:fs';

/** A wheel that pip downloads. Sizes in bytes. */
export interface WheelPin {
  readonly package: string;
  readonly version: string;
  readonly wheel_platform: string;
  readonly sha256: string;
  readonly wheel_size: number;
  /** Its name in an index, by which a mirror has it; without one only pip gets it. */
  readonly file?: string;
}

/** The libraries that a runtime consists of. */
export interface LibrariesPin {
  /** The path in a wheel of each library, and its file name beside the binding. */
  readonly libraries: Readonly<Record<string, string>>;
  readonly unpacked_size: number;
  /** SHA-256 of each library by its file name, where they also come without their wheels. */
  readonly library_sha256?: Readonly<Record<string, string>>;
}

/** Libraries and the wheels that hold them. */
export interface WheelsPin extends LibrariesPin {
  /** That of TensorFlow comes first. */
  readonly wheels: readonly [WheelPin, ...WheelPin[]];
}

/** The pinned wheels of a platform, and their libraries. */
export interface PlatformPin extends WheelsPin {
  /**
   * TensorFlow with CUDA and the libraries of NVIDIA that it opens, on platforms that have one.
   * They look for each other in their own folder.
   */
  readonly gpu?: WheelsPin;
}

/** The bytes to download. */
export const downloadSize = ({ wheels }: WheelsPin): number =>
  wheels.reduce((sum, { wheel_size }) => sum + wheel_size, 0);

export const TENSORFLOW_VERSION = '2.18.1';
/** The extension that carries the libraries, as VS Code calls it (publisher, name). */
export const COMPANION_ID = 'lora-workbench.lora-workbench-runtime';
/** As people call it. */
export const COMPANION_NAME = 'LoRA Workbench Runtime';
/** The libraries in the wheels do not depend on the version of Python, but pip needs one. */
export const WHEEL_PYTHON = '311';

const inWheel = (...names: readonly string[]) =>
  Object.fromEntries(names.map((name) => [`tensorflow/${name}`, name]));
const elf = inWheel('libtensorflow_cc.so.2', 'libtensorflow_framework.so.2');
const cpp = (entry: string) => `msvc_runtime-14.44.35112.data/data/${entry}`;
const macho = inWheel('libtensorflow_cc.2.dylib', 'libtensorflow_framework.2.dylib');

/** What pip calls these platforms in names of files. */
const TAGS: Readonly<Record<string, string>> = {
  manylinux2014_x86_64: 'manylinux_2_17_x86_64.manylinux2014_x86_64',
  manylinux2014_aarch64: 'manylinux_2_17_aarch64.manylinux2014_aarch64',
};
const tensorflow = (
  name: string,
  wheel_platform: string,
  wheel_size: number,
  sha256: string,
): WheelPin => ({
  package: name,
  version: TENSORFLOW_VERSION,
  wheel_platform,
  wheel_size,
  sha256,
  file: `${name.replace('-', '_')}-${TENSORFLOW_VERSION}-cp311-cp311-${TAGS[wheel_platform] ?? wheel_platform}.whl`,
});
const cuda = (name: string, version: string, wheel_size: number, sha256: string): WheelPin => ({
  package: `nvidia-${name}-cu12`,
  version,
  wheel_platform: 'manylinux2014_x86_64',
  wheel_size,
  sha256,
  file: `nvidia_${name.replace('-', '_')}_cu12-${version}-py3-none-manylinux2014_x86_64.whl`,
});
const cudaLibraries = (folder: string, ...names: readonly string[]) =>
  Object.fromEntries(names.map((name) => [`nvidia/${folder}/lib/${name}`, name]));

/** The versions in TensorFlow 2.18.1's extra `and-cuda`. */
const GPU: WheelsPin = {
  wheels: [
    tensorflow(
      'tensorflow',
      'manylinux2014_x86_64',
      615_510_377,
      'c9f87e5d2a680a4595f5dc30daf6bbaec9d4129b46d7ef1b2af63c46ac7d2828',
    ),
    cuda(
      'cuda-runtime',
      '12.5.82',
      895_707,
      '3e79a060e126df40fd3a068f3f787eb000fa51b251ec6cd97d09579632687115',
    ),
    cuda(
      'cublas',
      '12.5.3.2',
      363_313_169,
      'ca070ad70e9fa6654084575d01bd001f30cc4665e33d4bb9fc8e0f321caa034b',
    ),
    cuda(
      'cudnn',
      '9.3.0.75',
      577_163_502,
      '9ad9c6929ebb5295eb4a1728024666d1c88283373e265a0c5c883e6f9d5cd76d',
    ),
    cuda(
      'cufft',
      '11.2.3.61',
      192_524_114,
      '9a6e8df162585750f61983a638104a48c756aa13f9f48e19ab079b38e3c828b8',
    ),
    cuda(
      'cusolver',
      '11.6.3.83',
      130_341_232,
      '93cfafacde4428b71778eeb092ec615a02a3d05404da1bcf91c53e3fa1bce42b',
    ),
    cuda(
      'cusparse',
      '12.5.1.3',
      217_558_979,
      '016df8e993c437e8301e62739f01775cba988fd5253cd4c64173f8e8d2f8e752',
    ),
    cuda(
      'nvjitlink',
      '12.5.82',
      21_298_879,
      'f9b37bc5c8cf7509665cb6ada5aaa0ce65618f2332b7d3e78e9790511f111212',
    ),
  ],
  libraries: {
    ...elf,
    ...cudaLibraries('cuda_runtime', 'libcudart.so.12'),
    ...cudaLibraries('cublas', 'libcublas.so.12', 'libcublasLt.so.12'),
    ...cudaLibraries(
      'cudnn',
      ...[
        '',
        '_adv',
        '_cnn',
        '_engines_precompiled',
        '_engines_runtime_compiled',
        '_graph',
        '_heuristic',
        '_ops',
      ].map((part) => `libcudnn${part}.so.9`),
    ),
    ...cudaLibraries('cufft', 'libcufft.so.11'),
    ...cudaLibraries('cusolver', 'libcusolver.so.11'),
    ...cudaLibraries('cusparse', 'libcusparse.so.12'),
    ...cudaLibraries('nvjitlink', 'libnvJitLink.so.12'),
  },
  unpacked_size: 3_450_000_000,
};

/** By `platformKey()`. */
export const PLATFORM_PINS: Readonly<Record<string, PlatformPin>> = {
  'linux-x64': {
    wheels: [
      tensorflow(
        'tensorflow-cpu',
        'manylinux2014_x86_64',
        230_236_181,
        '810c75d7149d2da0cb2092187817b0dcabb80728ca9f9cf3a61f3f42fadd1298',
      ),
    ],
    unpacked_size: 682_569_648,
    libraries: elf,
    library_sha256: {
      'libtensorflow_cc.so.2': '2f274b53cb45231acf63aa4a60d2e9417e18d3f6c5237d0eb113948e851bd425',
      'libtensorflow_framework.so.2':
        'c8dbe0f4a072f239418f513d87d0bfddb9f403b7fc93a3d11d17d6e99db26a83',
    },
    gpu: GPU,
  },
  'linux-arm64': {
    wheels: [
      tensorflow(
        'tensorflow',
        'manylinux2014_aarch64',
        231_937_898,
        '8a6485edd2148f70d011dbd1d8dc2c775e91774a5a159466e83d0d1f21580944',
      ),
    ],
    unpacked_size: 767_521_768,
    // both libraries look for OpenMP's beside them
    libraries: { ...elf, 'tensorflow.libs/libomp-6196b3b5.so.5': 'libomp-6196b3b5.so.5' },
    library_sha256: {
      'libtensorflow_cc.so.2': '6ecb9213687afc566f94278a230fe3aab7274998a6d0ab8a1dac26fe99ade1a2',
      'libtensorflow_framework.so.2':
        'd129dd9371ee26d461f5ad006cf7024ca03794ef046edc64fb7d8c3c5738fc8e',
      'libomp-6196b3b5.so.5': '86ec9e4d01195816d9f74e40428ca90cacd77d3412faab3abde713f47fe9050d',
    },
  },
  'darwin-arm64': {
    wheels: [
      tensorflow(
        'tensorflow',
        'macosx_12_0_arm64',
        239_549_037,
        '661029cd769b311db910b79a3a6ef50a5a61ecc947172228c777a49989722508',
      ),
    ],
    unpacked_size: 655_268_476,
    libraries: macho,
    library_sha256: {
      'libtensorflow_cc.2.dylib':
        '2a4abace7bc18843ff64f3be7065dcc11ae121979c878fb768964cb3c3de86b4',
      'libtensorflow_framework.2.dylib':
        'f47019178f370c58338251389c734126b921615c91fb14e3315ba0b23f1354d0',
    },
  },
  'win32-x64': {
    wheels: [
      tensorflow(
        'tensorflow-cpu',
        'win_amd64',
        369_183_895,
        'd4a0a78fe265376f38a58253389eb026b963c6865123ddb23c5ebb7e12d07ece',
      ),
      // Microsoft's C++ library, which Windows itself does not have
      {
        package: 'msvc-runtime',
        version: '14.44.35112',
        wheel_platform: 'win_amd64',
        wheel_size: 1_921_911,
        sha256: 'aba7fbe71897d25ed53fbb7f391e9f50289378a8a9ae218ba18530c663448391',
        file: 'msvc_runtime-14.44.35112-cp311-cp311-win_amd64.whl',
      },
    ],
    unpacked_size: 957_332_384,
    libraries: {
      'tensorflow/python/_pywrap_tensorflow_internal.pyd': '_pywrap_tensorflow_internal.pyd',
      [cpp('msvcp140.dll')]: 'msvcp140.dll',
      [cpp('Scripts/vcruntime140.dll')]: 'vcruntime140.dll',
      [cpp('Scripts/vcruntime140_1.dll')]: 'vcruntime140_1.dll',
    },
    library_sha256: {
      '_pywrap_tensorflow_internal.pyd':
        '3a81a2f2731d1d862f9a8bb3d8b22860f9d16202f5330a848955ab6ca5232f5b',
      'msvcp140.dll': '0f885b509a685d2bbfa652fed26b5fb31d88fbdab0a978c641d1c7b8aa460aa9',
      'vcruntime140.dll': 'd5e4d9a3e835fa679450145d6a7d94e36573a509317111904d9b3712c30d9066',
      'vcruntime140_1.dll': '1f2d41c4aa5db0bc33ebf7b66d72943a817d7ce6cbe880502a9403823633093f',
    },
  },
};

/** The file name of the native binding. */
export const BINDING_FILE = 'tfjs_binding.node';
/**
 * libtensorflow of Windows is a module of Python and asks for this library, but calls none of its
 * functions here: an empty one replaces it.
 */
export const PYTHON_STUB = 'python311.dll';

/** The files of a platform's binding. */
export const bindingFiles = (platform: string): readonly string[] =>
  platform.startsWith('win32') ? [BINDING_FILE, PYTHON_STUB] : [BINDING_FILE];

/**
 * This platform by VS Code's name: `linux-x64`, `darwin-arm64`, and `alpine-x64` with musl, for
 * which there is no wheel.
 */
export function platformKey(): string {
  const platform =
    process.platform === 'linux' && existsSync('/etc/alpine-release') ? 'alpine' : process.platform;
  return `${platform}-${process.arch}`;
}
