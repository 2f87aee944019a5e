// `tunnel schema`: the JSON Schema of the config, generated from the definition that reads it.
import { configSchema } from '../../config/schema.ts';
import type { Run } from '../command.ts';

export const schema: Run = (context) => {
  context.json(configSchema());
  return Promise.resolve(0);
};
