/** Whether a soak is to be short: `npm run soak -- --quick`. */
export const QUICK = process.env.MIXWRIGHT_SOAK_QUICK === '1'
