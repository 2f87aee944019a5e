// `tunnel remove NAME…`: takes tunnels down and out of the file. Comments and order of all else stay.
import type { Context } from '../../client/context.ts';
import { removeTunnel } from '../../config/edit.ts';
import { TunnelError } from '../../errors.ts';
import type { CommandSpec, Run } from '../command.ts';
import { configToEdit, problemWith, writeConfig } from '../edited-config.ts';
import { run as down } from './down.ts';

export const spec: CommandSpec = {
  name: 'remove',
  words: 'NAME…',
  takes: { least: 1 },
  about: 'take tunnels down and out of the file',
  options: [],
  examples: [['tunnel remove db', 'down, and its lines are gone from the file']],
};

export const run: Run = async (context, args) => {
  const config = configToEdit(context);
  const names = [...new Set(args.words)];
  if (config.isNew) throw new TunnelError('CONFIG_MISSING', `no config, looked at ${config.shown}`);
  const text = names.reduce((before, name) => removeTunnel(before, name), config.text);
  const problem = await problemWith(context, config, text);
  if (problem !== null && (await problemWith(context, config, config.text)) === null && !isEmptied(problem))
    throw new TunnelError(
      'CONFIG_INVALID',
      `cannot remove ${names.join(', ')}, on ${config.shown}: ${problem}`,
    );
  // With --json there is one document, and it is this command's own.
  const talking = { json: { value: () => undefined } };
  await down(context.options.json ? (Object.create(context, talking) as Context) : context, {
    ...args,
    words: names,
  });
  await writeConfig(context, config, text);
  if (context.options.json) context.json({ config: config.path, removed: names });
  else context.out(`removed from ${config.shown}: ${names.join(', ')}`);
  return 0;
};

/** The last one may go: a file that waits for tunnels is no fault of this command. */
const isEmptied = (problem: string): boolean => problem.endsWith('has no tunnels');
