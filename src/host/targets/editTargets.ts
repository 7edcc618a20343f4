import { lstat } from 'node:fs/promises';
import path from 'node:path';
import { createFile } from '../../common/atomicWrite';
import { makeFolder } from '../../common/makeFolder';
import { writeErrorReason } from '../../common/fileStatus';
import { LoraError } from '../../shared/errors';
import { openPlace } from '../editor/openPlace';
import { t } from '../text/l10n';

/** Of a new file: comments, so that nothing is a target before the user says so. */
const TEMPLATE = `// Machines that runs can be sent to.
[
  // { "name": "gpu-box", "kind": "ssh", "host": "gpu-box" },
  // { "name": "cluster", "kind": "ray", "address": "http://head:8265" },
  // { "name": "queue", "kind": "slurm", "host": "login", "sbatch": { "partition": "gpu" } }
]
`;

/**
 * Opens the user's targets.json, which is created with examples where there is none.
 *
 * @throws LoraError('disk') when it cannot be created
 */
export async function editTargets(file: string): Promise<void> {
  if (!(await lstat(file).catch(() => null))) {
    await makeFolder(path.dirname(file)).catch((cause: unknown) => {
      throw new LoraError('disk', t('The file cannot be created: {0}.', writeErrorReason(cause)), {
        place: { file },
        cause,
      });
    });
    await createFile(file, TEMPLATE);
  }
  await openPlace({ file });
}
