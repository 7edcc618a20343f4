import { nameOf, type ExportedJob } from './exportedJob';

/** Of the images; a RayJob needs the version and the image to be the same. */
const RAY_VERSION = '2.60.0';
const IMAGE = `rayproject/ray:${RAY_VERSION}`;
/** Where the volume with the files of the job is. */
const FOLDER = '/lora';
/** The group of the user that Ray's images run as. */
const GROUP = 1000;
/** The engine keeps nothing in Ray's object store, so it gets about as little as Ray accepts. */
const OBJECT_STORE_BYTES = 100_000_000;

/** A job of KubeRay, with the volume that its files are copied to. */
export const kuberayFiles = (job: ExportedJob): Readonly<Record<string, string>> => ({
  'volume.yaml': volume(job),
  'rayjob.yaml': rayJob(job),
});

const volume = (job: ExportedJob): string => `# In this folder:
#   kubectl apply -f volume.yaml
#   kubectl wait --for=condition=Ready pod/${nameOf(job)}-files
#   kubectl cp . ${nameOf(job)}-files:${FOLDER}
#   kubectl apply -f rayjob.yaml
# Then, to bring the run:
#   kubectl cp ${nameOf(job)}-files:${FOLDER}/jobs/${job.id}/run ${job.id}
#   kubectl delete -f rayjob.yaml -f volume.yaml
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: ${nameOf(job)}
spec:
  # the Pod below and the job use it: on one node, unless this is ReadWriteMany
  accessModes: [ReadWriteOnce]
  resources:
    requests:
      storage: ${job.disk}Gi
---
apiVersion: v1
kind: Pod
metadata:
  name: ${nameOf(job)}-files
spec:
  securityContext:
    fsGroup: ${GROUP}
  containers:
    - name: files
      image: ${IMAGE}
      command: [sleep, infinity]
      volumeMounts:
        - name: files
          mountPath: ${FOLDER}
  volumes:
    - name: files
      persistentVolumeClaim:
        claimName: ${nameOf(job)}
`;

const rayJob = (job: ExportedJob): string => `# Copy the files of the job first: see volume.yaml
apiVersion: ray.io/v1
kind: RayJob
metadata:
  name: ${nameOf(job)}
spec:
  entrypoint: sh ${FOLDER}/run.sh
  runtimeEnvYAML: |
    env_vars:
      LORA_RUNTIME_HOME: ${FOLDER}/runtime
  shutdownAfterJobFinishes: true
  rayClusterSpec:
    rayVersion: '${RAY_VERSION}'
    headGroupSpec:
      rayStartParams:
        object-store-memory: '${OBJECT_STORE_BYTES}'
      template:
        spec:
          securityContext:
            fsGroup: ${GROUP}
          containers:
            - name: ray-head
              image: ${IMAGE}
              resources:
                limits:
                  cpu: '${job.cpus}'
                  memory: ${job.memory}Gi
                  # nvidia.com/gpu: '1'
              volumeMounts:
                - name: files
                  mountPath: ${FOLDER}
          volumes:
            - name: files
              persistentVolumeClaim:
                claimName: ${nameOf(job)}
`;
