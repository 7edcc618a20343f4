import { nodeRequirement } from '../nodeWheels';

/** What engine/ray/train.py needs beside Ray; the same as engine/ray/requirements.txt. */
export const TRAINER_PACKAGES = [
  'torch==2.15.0',
  'transformers==5.24.0',
  'peft==0.21.2',
  'safetensors==0.8.0',
  'numpy==2.4.6',
  // Ray Train imports them
  'pandas==3.1.1',
  'pyarrow==26.0.1',
] as const;

/** How long a node may take to unpack what was sent and to install Node. */
const SETUP_SECONDS = 1800;

/** What a job is started with. */
interface Environment {
  /** The package with the launcher and the job. */
  readonly job: string;
  /** The packages of the items. */
  readonly packages: readonly string[];
  readonly variables: Readonly<Record<string, string>>;
  /** What pip installs: Node for our engine, PyTorch and others for Ray Train, or nothing. */
  readonly brings: 'node' | 'trainer' | null;
}

const PIP = {
  node: {
    packages: [nodeRequirement()],
    pip_check: false,
    pip_install_options: [
      '--no-deps',
      '--require-hashes',
      '--only-binary=:all:',
      '--disable-pip-version-check',
      '--no-cache-dir',
    ],
  },
  trainer: {
    packages: TRAINER_PACKAGES,
    pip_check: false,
    pip_install_options: ['--only-binary=:all:', '--disable-pip-version-check'],
  },
} as const;

/** The runtime_env of a job. */
export const runtimeEnvironment = ({ job, packages, variables, brings }: Environment) => ({
  working_dir: `gcs://${job}`,
  ...(packages.length > 0 && { py_modules: packages.map((name) => `gcs://${name}`) }),
  ...(Object.keys(variables).length > 0 && { env_vars: variables }),
  ...(brings !== null && { pip: PIP[brings] }),
  config: { setup_timeout_seconds: SETUP_SECONDS },
});
