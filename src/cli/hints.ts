// Commands to paste, for the config in use: where one was named on the command line, a hint without it would mean another. Pure.
import { shellWord } from '../model/shell-word.ts';

/** Commands that go by a config. */
const commands = 'up|down|restart|status|wait|logs|check|show|trust|hosts|why|secret|reload|init';
const mention = new RegExp(String.raw`(?<=^|[\s;(])tunnel (?=(?:${commands})(?:$|[\s;),]))`, 'g');

/** `config`: as given to --config; undefined: none was. */
export function forConfig(text: string, config: string | undefined): string {
  if (config === undefined) return text;
  // A line that names one means that one; the next line is another command.
  const named = (line: string): string =>
    /\s(-c|--config)[\s=]/.test(line)
      ? line
      : line.replaceAll(mention, () => `tunnel -c ${shellWord(config)} `);
  return text.split('\n').map(named).join('\n');
}
