import { pipelineModule } from '../../formats/diffusion/names';

/** The last part of a module's path: q_proj. */
export const kindOf = (modulePath: string): string =>
  modulePath.slice(modulePath.lastIndexOf('.') + 1);

/** The kind of a module, by its parts in Diffusers where it is one of an image pipeline. */
export const kindIn = (path: string): string =>
  pipelineModule(path)?.paths.map(endOf).join(' + ') ?? kindOf(path);

/** The last part of a path, with a number that it ends with: to_q, to_out.0. */
const endOf = (path: string): string => /[^.]+(?:\.\d+)?$/.exec(path)![0];
