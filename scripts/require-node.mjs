// Ends the process with one clear line on a Node.js that is too old. Every entry imports this first, and what needs a
// modern Node.js only afterwards. Keep the syntax here old.
const LEAST = [20, 19]

const [major, minor] = process.versions.node.split('.').map(Number)
if (major < LEAST[0] || (major === LEAST[0] && minor < LEAST[1])) {
  process.stderr.write(`mixwright: Node.js ${LEAST.join('.')} or newer is needed; this is ${process.versions.node}.\n`)
  process.exit(1)
}
