import { nameOf, type ExportedJob } from './exportedJob';

/**
 * A task of SkyPilot. Where there is a .skyignore, SkyPilot sends what the .gitignore files above
 * the folder leave out, such as weights.
 */
export const skypilotFiles = (job: ExportedJob): Readonly<Record<string, string>> => ({
  '.skyignore': '',
  'skypilot.yaml': `# In this folder: sky launch -c ${nameOf(job)} skypilot.yaml
# Then, to bring the run: rsync -a ${nameOf(job)}:sky_workdir/jobs/${job.id}/run/ ${job.id}/
name: ${nameOf(job)}
resources:
  cpus: ${job.cpus}+
  memory: ${job.memory}+
  # accelerators: L4:1
workdir: .
setup: sh run.sh setup
run: sh run.sh
`,
});
