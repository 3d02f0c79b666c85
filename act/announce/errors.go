package announce

import "errors"

// ErrFinal marks a delivery that trying again cannot mend, such as a rejected message or a wrong token.
var ErrFinal = errors.New("not worth trying again")
