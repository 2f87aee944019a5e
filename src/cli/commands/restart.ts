// `tunnel restart`: fresh connections; the ports stay bound.
import { bring } from './up.ts';
import { anyWords, selectorWords, timeoutOption, type CommandSpec, type Run } from '../command.ts';

export const spec: CommandSpec = {
  name: 'restart',
  words: selectorWords,
  takes: anyWords,
  about: 'dial afresh over a new connection; the ports stay bound',
  options: [
    timeoutOption,
    { name: 'accept-new', about: 'this once, trust host keys that are not known yet' },
  ],
  examples: [['tunnel restart db', 'after a password or a key changed']],
};

/** Without a supervisor the same as `up` (SPEC 4). */
export const run: Run = (context, args) => bring(context, args, 'restart');
