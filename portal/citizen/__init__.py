"""`/mes-accords`: what people agreed to, what was done with it, and changing one's mind."""
