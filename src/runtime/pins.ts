import { existsSync } from 'node:fs';

/** What a platform needs: the pinned wheel, and how its libraries are called there. */
export interface PlatformPin {
  readonly package: string;
  readonly wheel_platform: string;
  readonly sha256: string;
  readonly wheel_size: number;
  /** Path in the wheel -> file name beside the binding. */
  readonly libraries: Readonly<Record<string, string>>;
  readonly unpacked_size: number;
  /** tfjs-node's own, older libtensorflow: where its installer finds it. */
  readonly tfjs_archive: string;
}

export const TENSORFLOW_VERSION = '2.18.1';
/** The wheels' libraries are the same for every Python; pip wants to know for which one. */
export const WHEEL_PYTHON = '311';

const inWheel = (...names: readonly string[]) => Object.fromEntries(names.map((name) => [`tensorflow/${name}`, name]));
const elf = inWheel('libtensorflow_cc.so.2', 'libtensorflow_framework.so.2');
const macho = inWheel('libtensorflow_cc.2.dylib', 'libtensorflow_framework.2.dylib');

/** By `platformKey()`. */
export const PLATFORM_PINS: Readonly<Record<string, PlatformPin>> = {
  'linux-x64': {
    package: 'tensorflow-cpu', wheel_platform: 'manylinux2014_x86_64', wheel_size: 230_236_181, unpacked_size: 682_569_648, libraries: elf,
    sha256: '810c75d7149d2da0cb2092187817b0dcabb80728ca9f9cf3a61f3f42fadd1298',
    tfjs_archive: 'tensorflow/libtensorflow/libtensorflow-cpu-linux-x86_64-2.9.1.tar.gz',
  },
  'linux-arm64': {
    package: 'tensorflow', wheel_platform: 'manylinux2014_aarch64', wheel_size: 231_937_898, unpacked_size: 766_226_496, libraries: elf,
    sha256: '8a6485edd2148f70d011dbd1d8dc2c775e91774a5a159466e83d0d1f21580944',
    tfjs_archive: 'tf-builds/libtensorflow_r2_7_linux_arm64.tar.gz',
  },
  'darwin-arm64': {
    package: 'tensorflow', wheel_platform: 'macosx_12_0_arm64', wheel_size: 239_549_037, unpacked_size: 655_268_476, libraries: macho,
    sha256: '661029cd769b311db910b79a3a6ef50a5a61ecc947172228c777a49989722508',
    tfjs_archive: 'tf-builds/libtensorflow_r2_7_darwin_arm64_cpu.tar.gz',
  },
};

export const BINDING_FILE = 'tfjs_binding.node';

/** `<platform>-<arch>` as VS Code names them: `linux-x64`, `darwin-arm64`, and `alpine-x64` where the C library is musl, for which no wheel is. */
export function platformKey(): string {
  const platform = process.platform === 'linux' && existsSync('/etc/alpine-release') ? 'alpine' : process.platform;
  return `${platform}-${process.arch}`;
}
